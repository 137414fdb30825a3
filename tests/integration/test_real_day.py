"""A real day from file to gold: AIG of 2013-10-08, against its vendor's own figures."""

import csv
import io
import os
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import Landing, land_file
from lake.records import current
from tests.desk import Desk

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"
TRADES = FOLDER / "lean_aig_20131008_tick_trade.zip"
MINUTES = FOLDER / "lean_aig_20131008_minute_trade.zip"

pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)

ROWS, SHARES, MINUTE_WINDOWS, REPEATS = 43_342, 8_774_223, 429, 7_264
HEAD_ROWS, TAIL_FROM = 30_000, 25_000
NOT_VOLUME_SHARES = 1_400  # three prints that repeat auction volume
# Flags of prints that set no price: cash, next day, seller, derivatively priced, sold, out of
# sequence, average price, price variation, official close, prior reference, official open, odd lot.
NO_PRICE = 0x8750_4A0E
MIDNIGHT_NS = 1_381_204_800 * 10**9  # 2013-10-08T00:00 in New York (UTC-4)
MINUTE_MS = 60_000
REGULAR = range((9 * 60 + 31) * MINUTE_MS, (15 * 60 + 59) * MINUTE_MS, MINUTE_MS)

# What a trade is, without where it came from.
EVENTS = """
select * exclude (trade_key, tie_order, unit, position, source_row, batch, recv_ts_ns)
from silver.trades order by all
"""
ENRICHED = "select * exclude (trade_key, tie_order) from gold.enriched_trades order by all"
ORDERED = """
select event_ts_ns, tie_order, price, quantity, venue, conditions from silver.trades
where event_ts_ns <> {seam} order by all
"""


def land(desk: Desk, path: Path) -> Landing:
    return land_file(desk.settings, path, "lean_trades")


def lines(archive: Path) -> list[bytes]:
    with zipfile.ZipFile(archive) as zipped:
        (name,) = zipped.namelist()
        return zipped.read(name).split(b"\n")


def gold(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """Every candle and every trade of a lake, to compare with another's."""
    found = {
        width: desk.query(f"select * from gold.candles_{width} order by all")
        for width in ("1s", "10s", "1m", "1h", "1d")
    }
    return {**found, "silver": desk.query(EVENTS), "enriched": desk.query(ENRICHED)}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Desk:
    """The day landed as its one file, and built."""
    desk = Desk(tmp_path_factory.mktemp("whole") / "lake", target)
    land(desk, TRADES)
    desk.build()
    return desk


def test_silver_holds_every_trade_and_the_repeats_among_them(whole: Desk) -> None:
    ((rows, shares, distinct),) = whole.query(
        "select count(*), sum(quantity), count(distinct (event_ts_ns, price, quantity, venue, "
        "conditions, is_suspicious)) from silver.trades"
    )
    assert (rows, shares, rows - distinct) == (ROWS, SHARES, REPEATS)
    assert whole.query("select count(*) from silver.trade_duplicates") == [(0,)]


def test_candles_hold_the_days_shares_and_its_average_price(whole: Desk) -> None:
    assert whole.query(
        "select count(*), sum(volume), sum(trade_count), count(*) filter (where open is null) "
        "from gold.candles_1m where session_scope = 'all' and venue = 'ALL'"
    ) == [(MINUTE_WINDOWS, SHARES - NOT_VOLUME_SHARES, ROWS - 3, 4)]
    assert whole.query(
        "select count(*), count(*) filter (where open is null) from gold.candles_1s "
        "where session_scope = 'all' and venue = 'ALL'"
    ) == [(8_078, 22)]
    assert whole.query(
        "select count(*), sum(quantity) from gold.excluded_trades "
        "where reason = 'NOT_VOLUME_ELIGIBLE'"
    ) == [(3, NOT_VOLUME_SHARES)]
    prints = [line.split(b",") for line in lines(TRADES) if line]
    priced = [p for p in prints if not int(p[4], 16) & NO_PRICE]
    paid = sum(Decimal(p[1].decode()) / 10_000 * int(p[2]) for p in priced)
    average = paid / sum(int(p[2]) for p in priced)
    for width in ("1s", "10s", "1m", "1h", "1d"):
        ((notional, quantity),) = whole.query(
            "select sum(vwap_notional), sum(vwap_quantity) from gold.candles_"
            f"{width} where venue = 'ALL' and session_scope = 'all'"
        )
        assert round(notional / quantity, 12) == round(average, 12), width


def test_every_regular_minute_has_the_volume_of_the_vendors_minute_bar(whole: Desk) -> None:
    bars = list(csv.reader(io.StringIO(b"\n".join(lines(MINUTES)).decode())))
    vendors = {int(bar[0]): Decimal(bar[5]) for bar in bars if int(bar[0]) in REGULAR}
    assert len(vendors) == len(REGULAR) == 388
    candles = whole.query(
        "select epoch_ns(window_start), volume from gold.candles_1m "
        "where session_scope = 'all' and venue = 'ALL'"
    )
    ours = {(start - MIDNIGHT_NS) // 1_000_000: volume for start, volume in candles}
    assert {minute: ours.get(minute) for minute in vendors} == vendors


def test_the_file_landed_again_changes_nothing(whole: Desk) -> None:
    before = current(whole.layout)
    again = land(whole, TRADES)
    assert (again.ok, again.rejected, again.batches) == (0, 0, 0)
    assert whole.build() == before


@pytest.mark.slow
@pytest.mark.parametrize("order", [("head", "tail"), ("tail", "head")], ids="-then-".join)
def test_two_overlapping_files_give_the_silver_and_gold_of_the_whole_one(
    whole: Desk, order: tuple[str, str], tmp_path: Path, target: Path
) -> None:
    rows = lines(TRADES)
    desk = Desk(tmp_path / "lake", target)
    parts = {"head": rows[:HEAD_ROWS], "tail": rows[TAIL_FROM:]}
    for name in order:
        path = tmp_path / f"20131008_aig_trade_{name}.csv"
        path.write_bytes(b"\n".join(parts[name]))
        land(desk, path)
        if order[0] == name == "tail":  # once as news for a lake that is built, once all at once
            desk.build()
    desk.build()
    assert gold(desk) == gold(whole)
    # In the millisecond where one file takes over from the other, nothing says which row of which
    # file came first; everywhere else the order is that of the whole file.
    takes_over = HEAD_ROWS if order[0] == "head" else TAIL_FROM
    seam = MIDNIGHT_NS + int(rows[takes_over].split(b",")[0]) * 1_000_000
    assert desk.query(ORDERED.format(seam=seam)) == whole.query(ORDERED.format(seam=seam))
    overlap = HEAD_ROWS - TAIL_FROM
    ((landed, kept, duplicates, opened),) = desk.query(
        "select sum(ok_rows), sum(silver_rows), sum(duplicate_rows), sum(abs(difference)) "
        "from audit.account_silver where dataset = 'trades'"
    )
    assert (landed, kept, duplicates, opened) == (ROWS + overlap, ROWS, overlap, 0)
    assert desk.query("select distinct duplicate_by from silver.trade_duplicates") == [("content",)]
