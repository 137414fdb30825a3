"""The speed layer's tables as builds pin them: versions, hours with news, and made again."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
from deltalake import DeltaTable

from lake import pins, speed
from lake.layout import Layout
from lake.rebuild import as_of
from lake.speed import CANDLES, PROGRESS, Span
from tests.desk import trade
from tests.speed_layer import SpeedLayer


def hour(number: int, day: int = 2) -> datetime:
    return datetime(2025, 10, day, number, tzinfo=UTC)


def place(folder: Path) -> Layout:
    return Layout(folder, folder)


def landed(folder: Path, *hours: str) -> tuple[Layout, SpeedLayer]:
    """A speed layer that took a trade at each time and stored after each."""
    layout = place(folder)
    layer = SpeedLayer(layout)
    for number, at in enumerate(hours):
        layer.take([trade(number, at)])
        layer.flush(number)
    return layout, layer


def news(layout: Layout, before: dict[str, int]) -> dict[str, list[Span] | None]:
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        return speed.news(conn, layout, before, speed.newest(layout))


def test_a_lake_without_a_speed_layer_pins_nothing_of_it_and_has_no_news(tmp_path: Path) -> None:
    layout = place(tmp_path)
    assert pins.newest(layout) == {}
    assert news(layout, {}) == {PROGRESS: [], CANDLES: []}
    with duckdb.connect() as conn:
        speed.create_views(conn, layout, {})
        assert conn.execute("select count(*) from speed.candles").fetchall() == [(0,)]
        assert conn.execute("select count(*) from speed.progress").fetchall() == [(0,)]


def test_news_are_the_hours_of_new_candles_and_those_that_a_watermark_passed(
    tmp_path: Path,
) -> None:
    layout, layer = landed(tmp_path, "12:00:00", "12:30:00")
    before = speed.newest(layout)
    assert news(layout, before) == {PROGRESS: [], CANDLES: []}
    layer.take([trade(9, "15:10:00")])
    layer.flush(9)
    # the candle of 12:30 was finished; an hour's lateness is allowed for
    assert news(layout, before) == {
        PROGRESS: [Span(hour(11), hour(15))],
        CANDLES: [Span(hour(12), hour(12))],
    }
    layer.flush(10)
    assert news(layout, speed.newest(layout)) == {PROGRESS: [], CANDLES: []}


def test_hours_of_a_candle_that_was_taken_away_are_news_and_a_table_made_anew_is_all_news(
    tmp_path: Path,
) -> None:
    layout, _ = landed(tmp_path, "12:00:00", "14:30:00", "19:00:00")
    before = speed.newest(layout)
    candles = DeltaTable(str(layout.speed / "candles"))
    candles.delete("window_start = '2025-10-02T14:30:00Z'")
    assert news(layout, before)[CANDLES] == [Span(hour(14), hour(14))]
    assert news(layout, {CANDLES: 99, PROGRESS: 99}) == {PROGRESS: None, CANDLES: None}


def test_the_tables_are_laid_out_as_they_were_at_the_versions_of_a_publication(
    tmp_path: Path,
) -> None:
    layout, layer = landed(tmp_path / "lake", "12:00:00", "12:30:00")
    versions = speed.newest(layout)
    layer.take([trade(9, "15:10:00")])
    layer.flush(9)
    target = place(tmp_path / "again")
    as_of(layout, versions, target)
    assert speed.newest(target) == versions
    for table in speed.TABLES:
        then = DeltaTable(str(speed.root(layout, table)), version=versions[table])
        again = DeltaTable(str(speed.root(target, table)))
        rows = pl.DataFrame(then.to_pyarrow_table())
        assert pl.DataFrame(again.to_pyarrow_table()).equals(rows)
        assert rows.height
