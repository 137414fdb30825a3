"""What has landed since a vector of bronze versions: counts and touched hours, told from ledger and
logs. Looking changes nothing, also not the ledger, which builds and maintenance bring up."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from contracts import registry
from lake import delta_log, ledger, pins
from lake.delta_table import Table
from lake.files import data_files, literal
from lake.layout import Layout
from lake.records import Record, folder_entry, load


@dataclass(frozen=True)
class News:
    """What landed of a dataset: rows that kept the contract and rows that did not, and the hours of
    event time (YYYY-MM-DDTHH, UTC) that got rows."""

    dataset: str
    rows: int = 0
    rejected: int = 0
    hours: tuple[str, ...] = field(default_factory=tuple)


def versions(record: Record | None) -> dict[str, int]:
    """The vector that the whole of a publication was built from; empty before the first."""
    return {name: read["version"] for name, read in record.pin.items()} if record else {}


def of_publication(layout: Layout, number: int) -> list[News]:
    """What a publication read that the one before it had not read."""
    before = load(layout, number - 1) if folder_entry(layout, number - 1).exists() else None
    read = {name: at["version"] for name, at in load(layout, number).read.items()}
    had = {name: at["version"] for name, at in before.read.items()} if before else {}
    return news(layout, had, read)


def news(
    layout: Layout, before: Mapping[str, int], until: Mapping[str, int] | None = None
) -> list[News]:
    """What landed after the versions `before`, up to the versions `until` or to the newest.

    Datasets with nothing new are left out. Raises delta_log.LogBroken.
    """
    reached = _in_ledger(layout)
    found = []
    for dataset in registry.all_contracts():
        first = before.get(dataset, 0) + 1
        newest = ledger.bronze_version(layout, dataset)
        last = min(newest or 0, (until or {}).get(dataset, 0) if until is not None else newest or 0)
        known = reached.get(dataset, 0)
        rows = [
            *_of_ledger(layout, dataset, first, min(last, known)),
            *ledger.commits(layout, dataset, max(first, known + 1), last),
        ]
        if rows:
            found.append(_summed(dataset, rows))
    return found


def hours_of_days(layout: Layout, start: date, end: date) -> dict[str, list[str]]:
    """The hours (YYYY-MM-DDTHH, UTC) of the days [start, end) that bronze has good rows of, by
    dataset: what a build of the range recomputes."""
    found = {}
    for dataset, contract in registry.all_contracts().items():
        version = ledger.bronze_version(layout, dataset)
        if version is None or not contract.partition_by_date:
            continue
        days = [
            path
            for path, verdict, day in data_files(layout.bronze(dataset), version)
            .select("path", "partition.verdict", "partition.event_date")
            .iter_rows()
            if verdict == "ok" and start.isoformat() <= str(day) < end.isoformat()
        ]
        if hours := _hours(days):
            found[dataset] = hours
    return found


def _hours(paths: list[str]) -> list[str]:
    if not paths:
        return []
    with closing(duckdb.connect()) as conn:
        conn.execute("set TimeZone = 'UTC'")
        rows = conn.execute(
            "select distinct strftime(make_timestamp((event_ts_ns // 3600000000000) * 3600000000), "
            f"'%Y-%m-%dT%H') from read_parquet([{', '.join(map(literal, paths))}]) order by 1"
        ).fetchall()
    return [hour for (hour,) in rows]


def _in_ledger(layout: Layout) -> dict[str, int]:
    """How far the ledger has each dataset's log."""
    if not delta_log.is_table(layout.ledger):
        return {}
    table = Table(layout.ledger)
    return {name: table.transaction_version(name) or 0 for name in registry.all_contracts()}


def _of_ledger(layout: Layout, dataset: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    if last < first:
        return
    with closing(duckdb.connect()) as conn:
        conn.execute("create schema ledger")
        pins.create_ledger_view(conn, layout)
        for ok, rejected, hours in conn.execute(
            "select ok, rejected, hours from ledger.commits where dataset = ? and version >= ? "
            "and version <= ?",
            [dataset, first, last],
        ).fetchall():
            yield {"ok": ok, "rejected": rejected, "hours": hours}


def _summed(dataset: str, rows: list[dict[str, Any]]) -> News:
    hours = {hour for row in rows for hour in json.loads(row["hours"])}
    ok, rejected = (sum(row[verdict] for row in rows) for verdict in ("ok", "rejected"))
    return News(dataset, ok, rejected, tuple(sorted(hours)))
