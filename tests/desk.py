"""A small lake with its own dbt runs, in this process: the second run costs a second, not eight."""

import gc
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from contracts import registry
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.land import land_batch
from lake.bronze import BronzeWriter, Commit, Span
from lake.layout import Layout, layout
from lake.records import Record, current
from lake.settings import PROJECT, Settings, load_settings
from tests.empty_lake import begin_as_empty

Dbt = Callable[..., Any]


class Desk:
    """What a person does with a lake: land records, run dbt, look at tables."""

    def __init__(self, root: Path, target: Path, *, begins_as_empty: bool = True) -> None:
        self.root = root
        self.target = target
        self.begins_as_empty = begins_as_empty
        self.settings: Settings = load_settings({"LAKE_URI": str(root)})

    @property
    def layout(self) -> Layout:
        return layout(self.settings)

    def land(
        self,
        dataset: str,
        records: Sequence[bytes | dict[str, Any]],
        *,
        unit: str = "kafka:test/0",
        recv_ns: int = 4_000_000_000_000_000_000,
        source: str = "test",
        delivery_unit: str | None = None,
        writer: BronzeWriter | None = None,
    ) -> Commit:
        """Land records as one batch at the unit's next position; a new writer by default."""
        contract = registry.get(dataset)
        raw = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
        writer = writer or BronzeWriter(contract, self.layout)
        first = writer.next_position(unit)
        size = len(raw)
        provenance = pl.DataFrame(
            {
                "recv_ts_ns": [recv_ns] * size,
                "unit": [unit] * size,
                "position": range(first, first + size),
                "delivery_unit": [delivery_unit] * size,
            },
            schema={
                "recv_ts_ns": pl.Int64,
                "unit": pl.String,
                "position": pl.Int64,
                "delivery_unit": pl.String,
            },
        )
        span = Span(unit, first, first + size, size)
        return land_batch(
            writer,
            Batch(
                contract,
                source,
                provenance,
                [span],
                lambda places: [raw[place] for place in places],
                partial(decode_json, contract, raw, self.settings.max_record_bytes),
            ),
        )

    def dbt(self, *arguments: str, expect: bool = True, **environment: str) -> Any:
        """Run dbt as a person in dbt/ would; fails the test if its success is not as expected."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        if (
            self.begins_as_empty
            and "LAKE_LOCAL" not in environment
            and arguments[0] in ("build", "run")
        ):
            begin_as_empty(self.root, self.target)
        saved, here = dict(os.environ), Path.cwd()
        os.environ |= {"LAKE_URI": str(self.root), "DBT_SEND_ANONYMOUS_USAGE_STATS": "0"}
        os.environ |= environment
        os.chdir(PROJECT / "dbt")
        try:
            result = dbtRunner().invoke(
                [
                    *arguments,
                    "--target-path",
                    str(self.target),
                    "--log-path",
                    str(self.target),
                    "--quiet",
                ]
            )
        finally:
            DuckDBConnectionManager.close_all_connections()
            gc.collect()  # dbt leaves the warehouse open until its environment is collected
            os.chdir(here)
            os.environ.clear()
            os.environ.update(saved)
        failed = [
            f"{r.node.unique_id}: {r.status}: {r.message}"
            for r in getattr(result.result, "results", [])
            if r.status not in ("success", "pass", "warn")
        ]
        assert result.success is expect, (str(result.exception), failed)
        return result

    def build(self, *arguments: str, **environment: str) -> Record:
        """`dbt build`, and the publication that is current after it."""
        self.dbt("build", *arguments, **environment)
        record = current(self.layout)
        assert record is not None
        return record

    def query(self, sql: str, file: str = "lakehouse") -> list[tuple[Any, ...]]:
        """Rows of a query over what is published (or over the warehouse)."""
        path = self.layout.lakehouse if file == "lakehouse" else self.layout.warehouse
        with duckdb.connect(str(path), read_only=True) as conn:
            conn.execute("set TimeZone = 'UTC'")
            return conn.execute(sql).fetchall()

    def fingerprints(self, leave_out: Sequence[str] = ("audit.dirty", "audit.publication")) -> Any:
        """(rows, distinct rows, hash) of every published table and view."""
        tables = self.query(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ('silver', 'gold', 'audit') order by 1"
        )
        return {
            name: self.query(
                f"select count(*), count(distinct t), bit_xor(hash(t)), sum(hash(t)) from {name} t"
            )[0]
            for (name,) in tables
            if name not in leave_out
        }


def trade(number: int, at: str, price: Any = 100, quantity: Any = 1, **more: Any) -> dict[str, Any]:
    """A trade on the wire. `at` is a UTC time of day on 2025-10-02, or a whole timestamp."""
    moment = at if "T" in at else f"2025-10-02T{at}Z"
    return {
        "tradeId": f"T{number}",
        "instrumentId": more.pop("instrument", "BOND_1"),
        "price": price,
        "quantity": quantity,
        "timestamp": moment,
        "buySellIndicator": more.pop("side", "B"),
        **more,
    }
