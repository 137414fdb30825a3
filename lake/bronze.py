"""The bronze writer: one batch, one Delta commit, positions and all (invariants 1, 2 and 8)."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import Schema
from deltalake.exceptions import CommitFailedError

from contracts.base import Contract
from contracts.derive.arrow import OK, REJECTED, file_schema, partition_columns, table_schema
from lake import delta
from lake.durable import fault_point
from lake.layout import Layout

NS_PER_HOUR = 3_600_000_000_000
METADATA_KEY = "ticklake"

# Long runs of equal or rising values: delta encoding and dictionaries do better than plain.
_DICTIONARY = ["source", "unit", "delivery_unit", "batch", "reject_code", "instrument_id",
               "venue", "side", "dealer_id", "trader_id", "conditions", "status", "quote_type",
               "action", "market_segment", "currency", "msg_type", "order_type", "platform",
               "interval", "rule", "severity", "buy_venue", "sell_venue", "session_id"]  # fmt: skip
_DELTA = ("position", "recv_ts_ns", "event_ts_ns", "sequence")


@dataclass(frozen=True)
class Span:
    """Positions of one unit that a batch consumes: [first, next), `rows` records were there.

    rows < next - first where the broker has holes (compaction, aborted transactions).
    """

    unit: str
    first: int
    next: int
    rows: int


@dataclass(frozen=True)
class Commit:
    """What one commit landed."""

    dataset: str
    version: int
    batch: str
    ok: int
    rejected: int
    by_code: dict[str, int]
    hours: tuple[str, ...]


class PositionTaken(RuntimeError):
    """Another writer has moved the position since ours was read: this one must stop."""


class BronzeWriter:
    """Writes one dataset's bronze table. The handle that reads positions is the one that writes.

    A second writer of the same unit is refused, never merged: either its span does not start
    where the table stands, or delta-rs refuses the stale handle.
    """

    def __init__(self, contract: Contract, layout: Layout) -> None:
        self.contract = contract
        self.root: Path = layout.bronze(contract.dataset)
        self.table = delta.open_or_create(
            self.root, table_schema(contract), partition_columns(contract)
        )
        self._file_schema = file_schema(contract)
        self._widen()

    def _widen(self) -> None:
        """Add the columns that a newer version of the contract has and the table has not."""
        known = {field.name for field in self.table.schema().fields}
        wanted = Schema.from_arrow(table_schema(self.contract)).fields
        added = [field for field in wanted if field.name not in known]
        if added:
            self.table.alter.add_columns(added)
            self.table.update_incremental()
            delta.sync_log(self.root, self.table.version(), self.table.version())

    def next_position(self, unit: str) -> int:
        """The first position of `unit` that is not landed; 0 for a new unit."""
        return self.table.transaction_version(unit) or 0

    def commit(
        self,
        good: pl.DataFrame,
        rejected: pl.DataFrame,
        spans: Sequence[Span],
        source: str,
        fence: Mapping[str, int] | None = None,
    ) -> Commit:
        """Land one batch. Both frames carry the landing columns but batch, ingest_ts, version.

        A batch moves the positions of its units, and a second writer of one of them is refused.
        A batch that takes rows here and there, such as a replay, gives a `fence` instead: one
        application transaction (id -> number) that only one writer can move.

        Raises PositionTaken when a span does not start at the table's position, or when another
        writer commits the same unit at the same moment.
        """
        for span in spans if fence is None else ():
            stands = self.next_position(span.unit)
            if span.first != stands:
                raise PositionTaken(
                    f"{self.contract.dataset} {span.unit}: the batch starts at position "
                    f"{span.first}, the table stands at {stands}; another writer landed it"
                )
        now = datetime.now(UTC)
        batch = f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        files = self._write_files(good, rejected, batch, now)
        fault_point("bronze.files_written")
        summary = _summary(self.contract, good, rejected, spans, source, batch, now)
        try:
            version = delta.commit(
                self.table,
                self.root,
                files,
                transactions=fence or {span.unit: span.next for span in spans},
                metadata={METADATA_KEY: json.dumps(summary)},
                fault="bronze",
            )
        except CommitFailedError as error:
            raise PositionTaken(
                f"{self.contract.dataset}: another writer committed one of "
                f"{[span.unit for span in spans]} at the same moment ({error})"
            ) from error
        return Commit(
            dataset=self.contract.dataset,
            version=version,
            batch=batch,
            ok=good.height,
            rejected=rejected.height,
            by_code=summary["rejected_by_code"],
            hours=tuple(summary["hours"]),
        )

    def _write_files(
        self, good: pl.DataFrame, rejected: pl.DataFrame, batch: str, now: datetime
    ) -> list[delta.DataFile]:
        parts: list[tuple[dict[str, str | None], pl.DataFrame]] = []
        if rejected.height:
            verdict: dict[str, str | None] = {"verdict": REJECTED}
            if self.contract.partition_by_date:
                verdict["event_date"] = None
            parts.append((verdict, rejected))
        if good.height and self.contract.partition_by_date:
            dated = good.with_columns(
                event_date=pl.from_epoch("event_ts_ns", time_unit="ns").dt.date()
            )
            for (day,), rows in dated.group_by(["event_date"], maintain_order=True):
                parts.append(({"verdict": OK, "event_date": str(day)}, rows))
        elif good.height:
            parts.append(({"verdict": OK}, good))
        stamps = {
            "batch": pl.lit(batch),
            "ingest_ts": pl.lit(now).cast(pl.Datetime("us", "UTC")),
            "contract_version": pl.lit(self.contract.version, pl.Int32),
        }
        return [self._write(partition, rows.with_columns(**stamps)) for partition, rows in parts]

    def _write(self, partition: dict[str, str | None], rows: pl.DataFrame) -> delta.DataFile:
        absent = [
            pl.lit(None).alias(name) for name in self._file_schema.names if name not in rows.columns
        ]
        table = rows.with_columns(absent).select(self._file_schema.names).to_arrow()
        folder = self.root / delta.partition_folder(partition)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{rows['batch'][0]}.zstd.parquet"
        _write_parquet(table.cast(self._file_schema), folder / name)
        event, ingest = rows.get_column("event_ts_ns", default=None), rows["ingest_ts"][0]
        minimum: dict[str, object] = {"ingest_ts": _delta_time(ingest)}
        maximum = dict(minimum)
        if event is not None and event.null_count() < rows.height:
            minimum["event_ts_ns"], maximum["event_ts_ns"] = event.min(), event.max()
        return delta.DataFile(
            path=str((folder / name).relative_to(self.root)),
            size=(folder / name).stat().st_size,
            rows=rows.height,
            partition=partition,
            minimum=minimum,
            maximum=maximum,
        )


def _write_parquet(table: pa.Table, path: Path) -> None:
    names = set(table.schema.names)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in _DICTIONARY if name in names],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _DELTA if name in names},
    )


def _summary(
    contract: Contract,
    good: pl.DataFrame,
    rejected: pl.DataFrame,
    spans: Sequence[Span],
    source: str,
    batch: str,
    now: datetime,
) -> dict[str, Any]:
    """What the commit says of itself; the ledger is made from it."""
    hours = (
        good.group_by(hour=pl.col("event_ts_ns") // NS_PER_HOUR).len().sort("hour").iter_rows()
        if good.height
        else iter(())
    )
    counts = pl.concat([good.select("unit"), rejected.select("unit")])["unit"].value_counts()
    landed = dict(counts.iter_rows())
    bad = rejected["unit"].value_counts()
    bad_by_unit = dict(bad.iter_rows())
    return {
        "batch": batch,
        "source": source,
        "committed_at": now.isoformat(),
        "contract_version": contract.version,
        "spans": [
            {
                "unit": span.unit,
                "first": span.first,
                "next": span.next,
                "consumed": span.rows,
                "ok": landed.get(span.unit, 0) - bad_by_unit.get(span.unit, 0),
                "rejected": bad_by_unit.get(span.unit, 0),
            }
            for span in spans
        ],
        "rejected_by_code": dict(rejected["reject_code"].value_counts(sort=True).iter_rows()),
        "totals": {name: str(good[name].sum()) for name in contract.control_totals},
        "hours": {_hour(hour): rows for hour, rows in hours},
    }


def _hour(hours_since_epoch: int) -> str:
    return f"{datetime.fromtimestamp(hours_since_epoch * 3600, UTC):%Y-%m-%dT%H}"


def _delta_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
