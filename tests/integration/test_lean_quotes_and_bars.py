"""Real quotes and bars of LEAN, equities and metals: every row, exactly, in the contract's form."""

import csv
import io
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from ingestion.land import land_file
from lake.layout import layout
from lake.settings import Settings, load_settings

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"
AIG = "lean_aig_20131008"
XAU = "lean_oanda_xauusd_20140504"

pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)

BIDS = OFFERS = 559_070
OPENING_MINUTE = 1_020  # rows from 09:30 to 09:31
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT_NS = 1_381_204_800 * 10**9  # 2013-10-08T00:00 in New York (UTC-4)
MIDNIGHT_XAU_NS = 1_399_161_600 * 10**9  # 2014-05-04T00:00Z


def vendor(name: str) -> Iterator[list[str]]:
    """Rows of the vendor's file as Python's csv reads them."""
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as zipped:
        (inside,) = zipped.namelist()
        yield from csv.reader(io.StringIO(zipped.read(inside).decode(), newline=""))


def settings_of(folder: Path) -> Settings:
    return load_settings({"LAKE_URI": str(folder / "lake")})


def ask(settings: Settings, dataset: str, query: str) -> list[tuple[Any, ...]]:
    files = str(layout(settings).bronze(dataset) / "**" / "*.parquet")
    with duckdb.connect() as conn:
        conn.execute(
            f"create view bronze as select * from read_parquet('{files}', "
            "hive_partitioning = true, hive_types = {'event_date': date})"
        )
        return conn.execute(query).fetchall()


def packed(folder: Path, name: str, rows: list[list[str]]) -> Path:
    """Some rows of the vendor's as a file of its own."""
    path = folder / name
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    return path


def check_quotes(settings: Settings, file: Path, wanted: list[list[str]]) -> None:
    """Every row of `wanted` is landed as the one side that it gives, and nothing else is."""
    landing = land_file(settings, file, "lean_quotes")
    assert (landing.ok, landing.rejected) == (len(wanted), 0)
    landed = ask(
        settings,
        "quotes",
        "select (event_ts_ns - 1381204800000000000) / 1000000, side, cast(price * 10000 as bigint),"
        " cast(size as bigint), venue from bronze order by position",
    )
    expected = (
        (int(ms), "BID", int(bid), int(bid_size), venue)
        if (offer, offer_size) == ("0", "0")
        else (int(ms), "OFFER", int(offer), int(offer_size), venue)
        for ms, bid, bid_size, offer, offer_size, venue, _, _ in wanted
    )
    assert [pair for pair in zip(landed, expected, strict=True) if pair[0] != pair[1]] == []
    assert ask(
        settings,
        "quotes",
        "select distinct action, instrument_id, dealer_id, source, verdict, event_date::varchar, "
        "coalesce(bid_price, offer_price, bid_size, offer_size, sequence) from bronze",
    ) == [("UPDATE", "AIG", "NBBO", "lean_quotes", "ok", "2013-10-08", None)]


def test_each_quote_is_one_side_of_the_consolidated_source(tmp_path: Path) -> None:
    opening = [row for row in vendor(f"{AIG}_tick_quote") if 34_200_000 <= int(row[0]) < 34_260_000]
    assert len(opening) == OPENING_MINUTE
    path = packed(tmp_path, "20131008_aig_quote_tick.csv", opening)
    check_quotes(settings_of(tmp_path), path, opening)


@pytest.mark.slow
def test_the_whole_day_of_quotes_lands_with_as_many_bids_as_offers(tmp_path: Path) -> None:
    day = list(vendor(f"{AIG}_tick_quote"))
    settings = settings_of(tmp_path)
    check_quotes(settings, FOLDER / f"{AIG}_tick_quote.zip", day)
    assert ask(settings, "quotes", "select side, count(*) from bronze group by 1 order by 1") == [
        ("BID", BIDS),
        ("OFFER", OFFERS),
    ]


def test_metals_are_two_sided_without_sizes_to_the_tenth_of_a_microsecond(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    landing = land_file(settings, FOLDER / f"{XAU}_tick_quote.zip", "lean_oanda_quotes")
    assert (landing.ok, landing.rejected) == (9_889, 0)
    landed = ask(
        settings,
        "quotes",
        "select event_ts_ns, bid_price, offer_price, bid_size, offer_size, side, instrument_id, "
        "dealer_id from bronze order by position",
    )
    assert landed == [
        (
            MIDNIGHT_XAU_NS + int(Decimal(ms) * 1_000_000),
            Decimal(bid),
            Decimal(offer),
            None,
            None,
            None,
            "XAUUSD",
            "OANDA",
        )
        for ms, bid, offer in vendor(f"{XAU}_tick_quote")
    ]


BARS = "select event_ts_ns, open, high, low, close, volume from bronze order by position"
FACTS = "select distinct instrument_id, interval, venue, source, verdict from bronze"


@pytest.mark.parametrize(
    ("feed", "file", "first", "scale", "midnight", "instrument"),
    [
        ("lean_minute_bars", f"{AIG}_minute_trade", 1, -4, MIDNIGHT_NS, "AIG"),
        ("lean_minute_bids", f"{AIG}_minute_quote", 1, -4, MIDNIGHT_NS, "AIG"),
        ("lean_minute_offers", f"{AIG}_minute_quote", 6, -4, MIDNIGHT_NS, "AIG"),
        ("lean_oanda_minute_bids", f"{XAU}_minute_quote", 1, 0, MIDNIGHT_XAU_NS, "XAUUSD"),
        ("lean_oanda_minute_offers", f"{XAU}_minute_quote", 6, 0, MIDNIGHT_XAU_NS, "XAUUSD"),
    ],
)
def test_minute_bars_are_the_vendors_own(
    tmp_path: Path, feed: str, file: str, first: int, scale: int, midnight: int, instrument: str
) -> None:
    settings = settings_of(tmp_path)
    land_file(settings, FOLDER / f"{file}.zip", feed)
    expected = []
    for row in vendor(file):
        prices = [Decimal(text).scaleb(scale) for text in row[first : first + 4]]
        volume = Decimal(row[5]) if "trade" in file else Decimal(0)
        expected.append((midnight + int(row[0]) * 1_000_000, *prices, volume))
    assert ask(settings, "bars", BARS) == expected
    assert ask(settings, "bars", FACTS) == [(instrument, "1m", None, feed, "ok")]


def test_daily_bars_start_at_local_midnight_in_summer_and_winter(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    days = list(vendor("lean_aig_daily"))[::100]  # a day is a partition: all of them take a minute
    landing = land_file(settings, packed(tmp_path, "aig.csv", days), "lean_daily_bars")
    assert (landing.ok, landing.rejected) == (59, 0)
    expected: list[tuple[Any, ...]] = []
    for row in days:
        start = datetime.strptime(row[0], "%Y%m%d %H:%M").replace(tzinfo=NEW_YORK)
        ns = (start.astimezone(UTC) - EPOCH) // timedelta(microseconds=1) * 1000
        prices = [Decimal(text).scaleb(-4) for text in row[1:5]]
        expected.append((ns, *prices, Decimal(row[5])))
    assert ask(settings, "bars", BARS) == expected
    assert {start % 86_400_000_000_000 // 3_600_000_000_000 for start, *_ in expected} == {4, 5}
    assert ask(settings, "bars", FACTS) == [("AIG", "1d", None, "lean_daily_bars", "ok")]
