"""`ledger/failures`: each row is there once, at once, and stays."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from lake import failures_table
from lake.failures import Failure
from lake.layout import Layout, layout
from lake.maintenance import maintain
from lake.settings import Settings
from lake.verify_lake import verify

AT = datetime(2025, 10, 3, 0, 5, 0, 123456, tzinfo=UTC)
ROW = Failure("live/r1/failed/land/-1/1", AT, "failed", "live", "land", "r1", 1, 4, error="é\n\0")


def _shown(place: Layout) -> list[tuple[object, ...]]:
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema ledger")
        failures_table.create_view(conn, place)
        return conn.execute(
            "select failure_id, noted_at, try_number, interval_start from ledger.failures"
        ).fetchall()


def test_where_nothing_failed_there_is_an_empty_table_to_ask(lake: Settings) -> None:
    assert failures_table.read(layout(lake)) == []
    assert _shown(layout(lake)) == []
    assert not layout(lake).failures.exists()


def test_a_row_comes_back_as_it_was_written(lake: Settings) -> None:
    assert failures_table.append(layout(lake), ROW)
    assert failures_table.read(layout(lake)) == [ROW]
    assert _shown(layout(lake)) == [(ROW.failure_id, AT, 1, None)]


def test_a_note_written_twice_is_there_once(lake: Settings) -> None:
    again = replace(ROW, error="the process ended", noted_at=AT + timedelta(seconds=9))
    assert failures_table.append(layout(lake), ROW)
    assert not failures_table.append(layout(lake), again)
    assert failures_table.read(layout(lake)) == [ROW]


def test_of_those_who_write_one_note_at_the_same_moment_one_does(lake: Settings) -> None:
    rows = [replace(ROW, failure_id=f"f{n % 4}") for n in range(16)]
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda row: failures_table.append(layout(lake), row), rows))
    assert sum(told) == 4
    assert sorted(r.failure_id for r in failures_table.read(layout(lake))) == [
        "f0",
        "f1",
        "f2",
        "f3",
    ]
    assert len(list(layout(lake).failures.glob("*.parquet"))) == 4


def test_maintenance_puts_notes_together_and_loses_none(lake: Settings, tmp_path: Path) -> None:
    rows = [replace(ROW, failure_id=f"f{n}", noted_at=AT + timedelta(n)) for n in range(5)]
    for row in rows:
        failures_table.append(layout(lake), row)
    done = {one.table: (one.compacted, one.into, one.rows) for one in maintain(lake)}
    assert done["ledger.failures"] == (5, 1, 5)
    assert failures_table.read(layout(lake)) == rows
    assert not failures_table.append(layout(lake), rows[0])


def test_a_damaged_file_of_notes_is_found(lake: Settings) -> None:
    failures_table.append(layout(lake), ROW)
    next(layout(lake).failures.glob("*.parquet")).unlink()
    assert [finding.path.parent.name for finding in verify(lake).damage] == ["failures"]
