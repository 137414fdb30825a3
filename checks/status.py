"""What has landed, what is published, and what waits."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from contracts import registry
from lake import pins
from lake.files import data_files
from lake.layout import Layout, layout
from lake.records import Record, current
from lake.settings import Settings


@dataclass(frozen=True)
class Dataset:
    """Bronze of one dataset. `units` are those delivered: files, topic-partitions, clients, days of
    a vendor. `waiting` is the number of rows no publication has seen."""

    dataset: str
    version: int | None
    ok: int
    rejected: int
    units: int
    last_landed: datetime | None
    waiting: int


@dataclass(frozen=True)
class Table:
    """One published table; rows is None for a view."""

    name: str
    kind: str
    rows: int | None


@dataclass(frozen=True)
class Status:
    """The lake at a glance."""

    root: Path
    datasets: list[Dataset]
    publication: int | None
    build_id: str | None
    published_at: str | None
    tables: list[Table]


def status(settings: Settings) -> Status:
    """Look at the lake as it stands now; changes nothing but the ledger, which it brings up."""
    place = layout(settings)
    now = pins.newest(place)
    record = current(place)
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute("create schema ledger")
        pins.create_ledger_view(conn, place)
        datasets = [_dataset(conn, name, now, record) for name in registry.all_contracts()]
    return Status(
        root=place.root,
        datasets=datasets,
        publication=record.number if record else None,
        build_id=record.build_id if record else None,
        published_at=record.published_at if record else None,
        tables=_tables(place, record) if record else [],
    )


def _dataset(
    conn: duckdb.DuckDBPyConnection, name: str, now: pins.Pin, record: Record | None
) -> Dataset:
    pinned = record.pin.get(name, {}).get("version", -1) if record else -1
    ok, rejected, units, last, waiting = conn.execute(
        "select coalesce(sum(ok), 0)::bigint, coalesce(sum(rejected), 0)::bigint, "
        f"count(distinct unit) filter (where {pins.IS_UNIT}), max(committed_at), "
        "coalesce(sum(consumed) filter (where version > ?), 0)::bigint "
        "from ledger.commits where dataset = ?",
        [pinned, name],
    ).fetchall()[0]
    return Dataset(name, now.get(name), ok, rejected, units, last, waiting)


def _tables(place: Layout, record: Record) -> list[Table]:
    found = []
    for key, table in sorted(record.tables.items()):
        rows = None
        if table.kind == "table":
            schema, name = key.split(".")
            rows = int(data_files(place.table(schema, name), table.version)["rows"].sum())
        found.append(Table(key, table.kind, rows))
    return found
