"""What bronze's newest commits said of themselves, straight from the log.

The ledger says the same and for ever, but is brought up by builds; whoever looks every few seconds
reads the log instead and leaves the ledger alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
from deltalake import DeltaTable

from lake import ledger, pins
from lake.bronze import METADATA_KEY
from lake.layout import Layout

MOST_FROM_LOG = 5_000


@dataclass(frozen=True)
class Rejecting:
    """A commit with rejected rows: how many of the units asked for, and when (UTC)."""

    version: int
    batch: str
    committed_at: datetime
    rejected: int


def rejecting(layout: Layout, dataset: str, first: int, units: str) -> list[Rejecting]:
    """Commits from version `first` on that rejected rows of units whose names begin with `units`.

    In the order of their versions. What the log has forgotten is taken from the ledger.
    """
    path = str(layout.bronze(dataset))
    if not DeltaTable.is_deltatable(path):
        return []
    table = DeltaTable(path)
    wanted = table.version() - first + 1
    if wanted <= 0:
        return []
    found = _of_log(table, first, units) if wanted <= MOST_FROM_LOG else None
    return _of_ledger(layout, dataset, first, units) if found is None else found


def _of_log(table: DeltaTable, first: int, units: str) -> list[Rejecting] | None:
    """None where the log does not reach back to `first`."""
    wanted = table.version() - first + 1
    entries = [e for e in table.history(wanted) if int(e["version"]) >= first]
    if len(entries) < wanted:
        return None
    return sorted(_told(entries, units), key=lambda commit: commit.version)


def _told(entries: list[dict[str, Any]], units: str) -> Iterator[Rejecting]:
    for entry in entries:
        if METADATA_KEY in entry:
            summary = json.loads(entry[METADATA_KEY])
            rejected = sum(
                span["rejected"] for span in summary["spans"] if span["unit"].startswith(units)
            )
            if rejected:
                moment = datetime.fromisoformat(summary["committed_at"])
                yield Rejecting(int(entry["version"]), summary["batch"], moment, rejected)


def _of_ledger(layout: Layout, dataset: str, first: int, units: str) -> list[Rejecting]:
    ledger.append_new(layout)
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema ledger")
        pins.create_ledger_view(conn, layout)
        rows = conn.execute(
            "select version, batch, committed_at, sum(rejected)::bigint from ledger.commits "
            "where dataset = ? and version >= ? and starts_with(unit, ?) "
            "group by all having sum(rejected) > 0 order by version",
            [dataset, max(first, 0), units],
        ).fetchall()
    return [Rejecting(*row) for row in rows]
