"""The ledger: one row per bronze commit and unit, kept after Delta has forgotten its log.

Derived from commit metadata and appended before any log is cleaned (invariant 4). It is a copy
that can be made again as long as the log is there; nothing is ever edited in it.
"""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import CommitFailedError

from contracts import registry
from lake import delta, delta_log
from lake.bronze import METADATA_KEY
from lake.layout import Layout

TURNS = 100  # lost races; each means that another process got on

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("version", pa.int64()),
        ("batch", pa.string()),
        ("committed_at", pa.timestamp("us", "UTC")),
        ("source", pa.string()),
        ("contract_version", pa.int32()),
        ("unit", pa.string()),
        ("first_position", pa.int64()),
        ("next_position", pa.int64()),
        ("consumed", pa.int64()),
        ("ok", pa.int64()),
        ("rejected", pa.int64()),
        ("rejected_by_code", pa.string()),
        ("totals", pa.string()),
        ("hours", pa.string()),
    ]
)


class LedgerBehind(RuntimeError):
    """The ledger could not be brought up: others were faster, again and again."""


def append_new(layout: Layout) -> int:
    """Bring the ledger up to the bronze logs as they stand now; returns the number of rows added.

    Several processes may try at once: the application transactions let one of them win. The others
    look again, because the winner may have begun before the newest commits were there.
    Raises delta_log.LogBroken where a log cannot be read, LedgerBehind where others always win.
    """
    goal = {name: bronze_version(layout, name) for name in registry.all_contracts()}
    for _ in range(TURNS):
        table = delta.open_or_create(layout.ledger, SCHEMA, [])
        rows: list[dict[str, Any]] = []
        reached: dict[str, int] = {}
        for dataset, newest in goal.items():
            first = (table.transaction_version(dataset) or 0) + 1
            if newest is not None and newest >= first:
                reached[dataset] = newest
                rows += commits(layout, dataset, first, newest)
        if not reached:
            return 0
        files = [_write(layout, rows, reached)] if rows else []
        with suppress(CommitFailedError):
            delta.commit(table, layout.ledger, files, transactions=reached, fault="ledger")
            return len(rows)
    raise LedgerBehind(f"{layout.ledger} does not reach {goal}: others keep writing; try again")


def bronze_version(layout: Layout, dataset: str) -> int | None:
    """Newest version of a bronze table, None if nothing was ever landed."""
    root = layout.bronze(dataset)
    return delta_log.newest(root) if delta_log.is_table(root) else None


def commits(layout: Layout, dataset: str, first: int, last: int) -> list[dict[str, Any]]:
    """Ledger rows of the commits from version `first` to `last`.

    Raises delta_log.LogBroken where an entry cannot be read.
    """
    rows = []
    for version in range(first, last + 1):
        info = delta_log.commit_info(delta_log.read(layout.bronze(dataset), version))
        if METADATA_KEY in info:
            rows += _rows(dataset, version, json.loads(info[METADATA_KEY]))
    return rows


def _rows(dataset: str, version: int, summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset,
            "version": version,
            "batch": summary["batch"],
            "committed_at": datetime.fromisoformat(summary["committed_at"]),
            "source": summary["source"],
            "contract_version": summary["contract_version"],
            "unit": span["unit"],
            "first_position": span["first"],
            "next_position": span["next"],
            "consumed": span["consumed"],
            "ok": span["ok"],
            "rejected": span["rejected"],
            "rejected_by_code": json.dumps(summary["rejected_by_code"]),
            "totals": json.dumps(summary["totals"]),
            "hours": json.dumps(summary["hours"]),
        }
        for span in summary["spans"]
    ]


def _write(layout: Layout, rows: list[dict[str, Any]], reached: dict[str, int]) -> delta.DataFile:
    upto = "-".join(f"{dataset}.{version}" for dataset, version in reached.items())
    name = f"{upto}.{delta.unique()}.zstd.parquet"
    path = layout.ledger / name
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")
    return delta.DataFile(name, path.stat().st_size, len(rows), {}, {}, {})
