"""Real quotes: AIG of 2013-10-08, a side a row, and XAUUSD of 2014-05-04, without sizes."""

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from ingestion.land import land_file
from tests.desk import Desk

TICKLAKE_MODELS = "all"

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"
AIG = FOLDER / "lean_aig_20131008_tick_quote.zip"
XAU = FOLDER / "lean_oanda_xauusd_20140504_tick_quote.zip"

pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)

ROWS, REPEATS, XAU_ROWS = 1_118_140, 322_424, 9_889
SPREAD_BPS = Decimal("2.168192")
MIDNIGHT_NS = 1_381_204_800 * 10**9  # 2013-10-08T00:00 in New York (UTC-4)
OPEN_MS, QUARTER_MS, CLOSE_MS = 34_200_000, 35_100_000, 57_600_000
SELECTED = ("--select", "+best_quotes", "+enriched_quotes")


def vendor(path: Path) -> Iterator[list[str]]:
    """Rows of the vendor's file as Python's csv reads them."""
    with zipfile.ZipFile(path) as zipped:
        (inside,) = zipped.namelist()
        yield from csv.reader(io.StringIO(zipped.read(inside).decode(), newline=""))


def spread_bps(rows: Iterable[list[str]], start_ms: int, end_ms: int) -> Fraction:
    """Time-weighted spread of the consolidated quote over [start, end), from the vendor's rows."""
    bid = offer = 0
    weighted, time, since = Fraction(0), 0, start_ms
    ends = [[str(end_ms), "0", "0", "0", "0"]]
    for row in [*rows, *ends]:
        at = min(max(int(row[0]), start_ms), end_ms)
        if at > since:
            if 0 < bid < offer:
                weighted += Fraction(20_000 * (offer - bid), bid + offer) * (at - since)
                time += at - since
            since = at
        if (row[1], row[2]) != ("0", "0"):
            bid = int(row[1]) if row[2] != "0" else 0
        if (row[3], row[4]) != ("0", "0"):
            offer = int(row[3]) if row[4] != "0" else 0
    return weighted / time


def measured_bps(desk: Desk, start_ms: int, end_ms: int) -> Decimal:
    """The same from gold: sum of spread over mid times time, divided once."""
    start, end = (MIDNIGHT_NS + ms * 10**6 for ms in (start_ms, end_ms))
    lasting = f"least(valid_to_ns, {end}) - greatest(valid_from_ns, {start})"
    ((weighted, time),) = desk.query(
        f"""select sum(cast(20000 * (best_offer - best_bid) / (best_offer + best_bid)
                as decimal(38, 18)) * ({lasting})), sum({lasting})
            from gold.best_quotes
            where instrument_id = 'AIG' and is_valid
              and valid_from_ns < {end} and valid_to_ns > {start}""",
        "warehouse",
    )
    return Decimal(weighted) / Decimal(time)


@pytest.fixture(scope="module")
def quarter(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The first quarter of an hour of AIG's regular session, and the day of gold (the metal)."""
    path = tmp_path_factory.mktemp("lean") / "20131008_aig_quote_tick.csv"
    rows = (row for row in vendor(AIG) if OPEN_MS <= int(row[0]) < QUARTER_MS)
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    land_file(shared_desk.settings, path, "lean_quotes")
    land_file(shared_desk.settings, XAU, "lean_oanda_quotes")
    shared_desk.build(*SELECTED)
    return shared_desk


def test_the_first_quarters_spread_is_that_of_the_vendors_rows(quarter: Desk) -> None:
    rows = [row for row in vendor(AIG) if OPEN_MS <= int(row[0]) < QUARTER_MS]
    wanted = spread_bps(rows, OPEN_MS, QUARTER_MS)
    assert round(measured_bps(quarter, OPEN_MS, QUARTER_MS), 9) == round(
        Decimal(wanted.numerator) / Decimal(wanted.denominator), 9
    )


def test_quotes_without_sizes_are_live_until_replaced(quarter: Desk) -> None:
    of_gold = "where instrument_id = 'XAUUSD'"
    ((quotes, live, sizes),) = quarter.query(
        "select count(*), count(*) filter (where is_two_sided), count(bid_size) "
        f"from gold.enriched_quotes {of_gold}",
        "warehouse",
    )
    assert (quotes, live, sizes) == (XAU_ROWS, XAU_ROWS, 0)
    # 2014-05-04 is a Sunday: from the first quote to the end of the file's last hour there is
    # always one, and the last one lives to the end of Monday's session, 17:00 New York.
    ((start, end, covered, without),) = quarter.query(
        "select min(valid_from_ns), max(valid_to_ns), sum(valid_to_ns - valid_from_ns), "
        "count(*) filter (where not is_two_sided or bid_size is not null) "
        f"from gold.best_quotes {of_gold}",
        "warehouse",
    )
    assert (end, end - start, without) == (1_399_323_600 * 10**9, covered, 0)


@pytest.mark.slow
def test_the_whole_days_quotes_and_their_spread_are_the_known_ones(desk: Desk) -> None:
    land_file(desk.settings, AIG, "lean_quotes")
    desk.build(*SELECTED)
    ((rows, distinct),) = desk.query(
        "select count(*), count(distinct (event_ts_ns, side, price, size, venue)) "
        "from silver.quotes where touches_bid <> touches_offer",
        "warehouse",
    )
    assert (rows, rows - distinct) == (ROWS, REPEATS)
    assert desk.query("select count(*) from silver.quote_duplicates", "warehouse") == [(0,)]
    measured = measured_bps(desk, OPEN_MS, CLOSE_MS)
    wanted = spread_bps(vendor(AIG), OPEN_MS, CLOSE_MS)
    assert round(Decimal(wanted.numerator) / Decimal(wanted.denominator), 6) == SPREAD_BPS
    assert round(measured, 6) == SPREAD_BPS
