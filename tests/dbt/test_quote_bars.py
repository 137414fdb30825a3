"""Quote bars of real days equal the vendor's own: every price and every size."""

import csv
import io
import os
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import land_file
from tests.desk import Desk

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"
AIG, XAU = "lean_aig_20131008", "lean_oanda_xauusd_20140504"

pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)

MIDNIGHT_NS = {"AIG": 1_381_204_800 * 10**9, "XAUUSD": 1_399_161_600 * 10**9}
UNTIL_MS = (9 * 60 + 35) * 60_000  # of AIG, where not the whole day is built: 09:35 in New York
AIG_WINDOWS, XAU_WINDOWS = 514, 120
MODELS = ("--select", "+quote_bars_1m")
BARS = """
select (epoch_us(window_start) * 1000 - {midnight}) // 1000000, bid_open, bid_high, bid_low,
    bid_close, bid_close_size, offer_open, offer_high, offer_low, offer_close, offer_close_size
from gold.quote_bars_1m where instrument_id = '{instrument}' order by 1
"""
TICKLAKE_MODELS = "all"


def vendor(name: str) -> list[list[str]]:
    """Rows of the vendor's file as Python's csv reads them."""
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as zipped:
        (inside,) = zipped.namelist()
        return list(csv.reader(io.StringIO(zipped.read(inside).decode(), newline="")))


def bars(desk: Desk, instrument: str) -> list[tuple[Any, ...]]:
    return desk.query(BARS.format(midnight=MIDNIGHT_NS[instrument], instrument=instrument))


def stock_bar(row: list[str]) -> tuple[Any, ...]:
    """A vendor's minute bar of a stock: prices x 10,000, the fifth of a side is its size."""
    ms, *sides = row
    return int(ms), *(
        Decimal(text) if place % 5 == 4 else Decimal(text) / 10_000
        for place, text in enumerate(sides)
    )


@pytest.fixture(scope="module")
def desk(shared_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Gold of 4 May 2014 and the early morning of AIG, in two deliveries with a build between."""
    rows = [row for row in vendor(f"{AIG}_tick_quote") if int(row[0]) < UNTIL_MS]
    for number, part in enumerate((rows[:5_000], rows[5_000:])):
        folder = tmp_path_factory.mktemp(f"part{number}")
        file = folder / "20131008_aig_quote_tick.csv"
        file.write_text("".join(",".join(row) + "\n" for row in part))
        land_file(shared_desk.settings, file, "lean_quotes")
        if number == 0:
            ticks = FOLDER / f"{XAU}_tick_quote.zip"
            land_file(shared_desk.settings, ticks, "lean_oanda_quotes")
        shared_desk.build(*MODELS)
    return shared_desk


def test_all_120_minutes_of_gold_have_the_vendors_eight_prices_opened_by_their_first_update(
    desk: Desk,
) -> None:
    expected = [
        (int(ms), *(Decimal(p) for p in bid), None, *(Decimal(p) for p in offer), None)
        for ms, *bid, _, o, h, low, c, _ in vendor(f"{XAU}_minute_quote")
        for offer in [(o, h, low, c)]
    ]
    assert len(expected) == XAU_WINDOWS
    assert bars(desk, "XAUUSD") == expected


def test_a_stocks_bars_open_with_the_quote_in_force_like_the_vendors(desk: Desk) -> None:
    expected = [stock_bar(row) for row in vendor(f"{AIG}_minute_quote") if int(row[0]) < UNTIL_MS]
    assert bars(desk, "AIG") == expected


@pytest.mark.slow
def test_late_quotes_rebuild_to_the_same_as_a_full_refresh(desk: Desk) -> None:
    incremental = desk.fingerprints()
    desk.build("--full-refresh", *MODELS)
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_all_514_minutes_of_a_stock_have_the_vendors_prices_and_sizes(
    tmp_path: Path, dbt_target: Path
) -> None:
    desk = Desk(tmp_path / "lake", dbt_target, models=TICKLAKE_MODELS)
    land_file(desk.settings, FOLDER / f"{AIG}_tick_quote.zip", "lean_quotes")
    desk.build(*MODELS)
    expected = [stock_bar(row) for row in vendor(f"{AIG}_minute_quote")]
    assert len(expected) == AIG_WINDOWS
    assert bars(desk, "AIG") == expected
