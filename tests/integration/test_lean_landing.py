"""A real day: AIG trade ticks of 2013-10-08 land exactly, once, and overlap as declared."""

import csv
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from ingestion.land import Landing, land
from ingestion.sources.files import file_source
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.settings import Settings, load_settings

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
TRADES = Path(REAL_DATA or "") / "lean" / "lean_aig_20131008_tick_trade.zip"

pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)

ROWS, SHARES = 43_342, 8_774_223


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LAKE_URI": str(tmp_path), "TICKLAKE_BATCH_ROWS": "10000"})


def land_file(settings: Settings, path: Path) -> Landing:
    contract, source = file_source(settings, path, "lean_trades")
    return land(source, BronzeWriter(contract, layout(settings)))


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    files = str(layout(settings).bronze("trades") / "**" / "*.parquet")
    with duckdb.connect() as conn:
        conn.execute(
            f"create view bronze as select * from read_parquet('{files}', "
            "hive_partitioning = true, hive_types = {'event_date': date})"
        )
        return conn.execute(query).fetchall()


def lines() -> list[bytes]:
    with zipfile.ZipFile(TRADES) as archive:
        (name,) = archive.namelist()
        return archive.read(name).split(b"\n")


def read_independently() -> Iterator[tuple[Any, ...]]:
    """The file as csv, decimal and zoneinfo read it; nothing of the project takes part."""
    midnight = datetime(2013, 10, 8, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    reader = csv.reader(io.StringIO(b"\n".join(lines()).decode(), newline=""))
    for position, (ms, price, size, venue, flags, suspicious) in enumerate(reader):
        since = midnight + timedelta(milliseconds=int(ms)) - epoch
        event = (since // timedelta(milliseconds=1)) * 1_000_000
        yield (position, event, Decimal(price).scaleb(-4), Decimal(size), venue, flags,
               suspicious == "1")  # fmt: skip


def test_the_file_lands_every_row_as_an_independent_reader_sees_it(settings: Settings) -> None:
    landing = land_file(settings, TRADES)
    assert (landing.ok, landing.rejected, landing.batches) == (ROWS, 0, 5)
    assert ask(settings, "select count(*), sum(quantity) from bronze") == [(ROWS, SHARES)]
    landed = ask(
        settings,
        "select position, event_ts_ns, price, quantity, venue, conditions, is_suspicious "
        "from bronze order by position",
    )
    assert landed == list(read_independently())
    one = ask(settings, "select distinct instrument_id, event_date::varchar, source, verdict, "
                        "trade_id, side, sequence from bronze")  # fmt: skip
    assert one == [("AIG", "2013-10-08", "lean_trades", "ok", None, None, None)]


def test_the_file_landed_twice_lands_once(settings: Settings, tmp_path: Path) -> None:
    land_file(settings, TRADES)
    unpacked = tmp_path / "20131008_AIG_trade.csv"
    unpacked.write_bytes(b"\n".join(lines()))
    for again in (TRADES, unpacked):
        landing = land_file(settings, again)
        assert (landing.ok, landing.rejected, landing.batches) == (0, 0, 0)
    assert ask(settings, "select count(*), count(distinct unit) from bronze") == [(ROWS, 1)]


def test_two_files_that_overlap_both_land_whole(settings: Settings, tmp_path: Path) -> None:
    head, tail = lines()[:30_000], lines()[25_000:]
    for name, part in (("head", head), ("tail", tail)):
        path = tmp_path / f"20131008_aig_trade_{name}.csv"
        path.write_bytes(b"\n".join(part))
        assert land_file(settings, path).ok == len(part)
    counts = ask(settings, "select count(*) from bronze group by unit order by 1 desc")
    assert counts == [(30_000,), (18_342,)]
    # Per unit k-th copies of a row are k different prints; the largest count over units is the day.
    merged = ask(
        settings,
        "select cast(sum(rows) as bigint), sum(rows * quantity) from (select event_ts_ns, price, "
        "quantity, venue, conditions, max(rows) as rows from (select unit, event_ts_ns, price, "
        "quantity, venue, conditions, count(*) as rows from bronze group by all) group by all)",
    )
    assert merged == [(ROWS, SHARES)]


def test_rows_that_repeat_an_earlier_one_in_every_column_all_land(settings: Settings) -> None:
    repeats = sum(count - 1 for count in Counter(lines()).values())
    assert repeats == 7_264
    land_file(settings, TRADES)
    distinct = ask(
        settings,
        "select count(*) - count(distinct (event_ts_ns, price, quantity, venue, conditions, "
        "is_suspicious)) from bronze",
    )
    assert distinct == [(repeats,)]
