"""Realized and daily volatility (analytics.md 21) against plain Python, and on a real day."""

import os
import random
from datetime import UTC, date, datetime, timedelta
from math import log, sqrt
from pathlib import Path
from statistics import variance
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests import oracle_volatility as truth
from tests.desk import Desk, trade

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
NEW_YORK = ZoneInfo("America/New_York")
DAY, HALF_DAY = date(2025, 10, 2), date(2025, 11, 28)  # the day after Thanksgiving closes at 13:00


def opening(day: date, hour: int = 9, minute: int = 30) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)


def prints(seed: int, count: int, seconds: int) -> list[truth.Print]:
    """A random walk in cents, at distinct milliseconds."""
    rng = random.Random(seed)
    at = sorted(rng.sample(range(seconds * 1000), count))
    price = 10_000
    walk = []
    for moment in at:
        price += rng.randint(-8, 8)
        walk.append((moment / 1000, price / 100))
    return walk


def records(instrument: str, day: date, walk: list[truth.Print]) -> list[dict[str, Any]]:
    return [
        trade(
            number,
            (opening(day) + timedelta(seconds=at)).isoformat(timespec="milliseconds"),
            f"{price:.2f}",
            instrument=f"{instrument}",
        )
        | {"tradeId": f"{instrument}{day}{number}"}
        for number, (at, price) in enumerate(walk)
    ]


BUSY = prints(1, 900, 23_400)
GAPPY = [(at, price) for at, price in prints(2, 400, 23_400) if at // 300 % 7 not in (1, 2, 4)]
SHORT = prints(3, 300, 12_600)
SPARSE = prints(4, 40, 23_400)[:30]
DAYS = [DAY + timedelta(days=n) for n in range(60) if (DAY + timedelta(days=n)).weekday() < 5]
DAYS = [day for day in DAYS if day != date(2025, 11, 27)][:30]
BARS = {day: prints(100 + n, 6, 23_400) for n, day in enumerate(DAYS)}


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """Random walks under names of their own, thirty short days of one share, and AIG's day."""
    for name, day, walk in [
        ("BUSY", DAY, BUSY),
        ("GAPPY", DAY, GAPPY),
        ("SHORT", HALF_DAY, SHORT),
        ("SPARSE", DAY, SPARSE),
        *[("DAILY", day, walk) for day, walk in BARS.items() if day != DAYS[10]],
    ]:
        shared_desk.land("trades", records(name, day, walk), unit="kafka:walks/0")
    if REAL_DATA:
        from ingestion.land import land
        from ingestion.sources.files import file_source
        from lake.bronze import BronzeWriter

        path = Path(REAL_DATA) / "lean" / "lean_aig_20131008_tick_trade.zip"
        contract, source = file_source(shared_desk.settings, path, "lean_trades")
        land(source, BronzeWriter(contract, shared_desk.layout))
    shared_desk.build("--select", "+gold.volatility")
    return shared_desk


def measured(desk: Desk, instrument: str, columns: str) -> tuple[Any, ...]:
    (row,) = desk.query(
        f"select {columns} from gold.realized_volatility where instrument_id = '{instrument}'"
    )
    return row


@pytest.mark.parametrize(
    ("name", "walk", "seconds"),
    [("BUSY", BUSY, 23_400), ("GAPPY", GAPPY, 23_400), ("SHORT", SHORT, 12_600)],
)
def test_every_measure_is_that_of_a_dense_grid(
    desk: Desk, name: str, walk: list[truth.Print], seconds: int
) -> None:
    found = measured(desk, name, "rv_5m, rv_5m_subsampled, bipower, med_rv, bins, trades")
    assert found[:4] == pytest.approx(
        (
            truth.realized(walk, seconds, 300),
            truth.subsampled(walk, seconds),
            truth.bipower(walk, seconds),
            truth.med_rv(walk, seconds),
        ),
        rel=1e-9,
    )
    assert found[4:] == (seconds // 300, len(walk))


def test_one_minute_variance_and_a_year_of_sessions(desk: Desk) -> None:
    rv_1m, rv_5m, volatility = measured(desk, "BUSY", "rv_1m, rv_5m, volatility")
    assert rv_1m == pytest.approx(truth.realized(BUSY, 23_400, 60), rel=1e-9)
    assert volatility == pytest.approx(sqrt(252 * rv_5m))


def test_a_session_with_trades_in_less_than_half_of_its_bins_has_none(desk: Desk) -> None:
    found = measured(desk, "SPARSE", "rv_5m, rv_1m, bipower, med_rv, volatility, filled_bins")
    assert found[:5] == (None,) * 5
    assert found[5] == len({at // 300 for at, _ in SPARSE})


@pytest.mark.skipif(not REAL_DATA, reason="TICKLAKE_REAL_DATA names no folder with real ticks")
def test_the_day_of_aig_is_the_published_figure(desk: Desk) -> None:
    rv, bins, filled = measured(desk, "AIG", "rv_5m, bins, filled_bins")
    assert f"{rv:.6e}" == "1.637863e-04"
    assert (bins, filled) == (78, 78)


def daily(days: list[date]) -> dict[date, tuple[float | None, ...]]:
    """(Parkinson, Garman-Klass, Rogers-Satchell, Yang-Zhang, close to close) by their formulas."""
    found: dict[date, tuple[float | None, ...]] = {}
    bars = []
    for day in days:
        prices = [price for _, price in BARS[day]]
        o, h, lowest, c = prices[0], max(prices), min(prices), prices[-1]
        rs = log(h / c) * log(h / o) + log(lowest / c) * log(lowest / o)
        before = bars[-1][3] if bars else None
        overnight = log(o / before) if before else None
        bars.append((overnight, log(c / o), rs, c, log(c / before) if before else None))
        gk = 0.5 * log(h / lowest) ** 2 - (2 * log(2) - 1) * log(c / o) ** 2
        yz = cc = None
        if len(bars) > 20:
            last = bars[-20:]
            k = 0.34 / (1.34 + 21 / 19)
            overnights, closes = ([float(bar[n] or 0) for bar in last] for n in (0, 1))
            spread = sum(bar[2] for bar in last) / 20
            yz = variance(overnights) + k * variance(closes) + (1 - k) * spread
            cc = variance([float(bar[4] or 0) for bar in last])
        found[day] = (log(h / lowest) ** 2 / (4 * log(2)), gk, rs, yz, cc)
    return found


def bars_of(desk: Desk) -> dict[date, tuple[float | None, ...]]:
    return {
        row[0]: row[1:]
        for row in desk.query(
            "select session_date, parkinson, garman_klass, rogers_satchell, yang_zhang_20, "
            "close_to_close_20 from gold.daily_volatility where instrument_id = 'DAILY'"
        )
    }


def agrees(found: dict[date, tuple[float | None, ...]], days: list[date]) -> None:
    expected = daily(days)
    assert found.keys() == expected.keys()
    for day, values in expected.items():
        for one, other in zip(found[day], values, strict=True):
            if other is None:
                assert one is None
            else:
                assert one == pytest.approx(other, rel=1e-6, abs=1e-14)


def test_estimators_from_daily_bars_follow_their_formulas(desk: Desk) -> None:
    agrees(bars_of(desk), [day for day in DAYS if day != DAYS[10]])


def test_a_session_that_lands_late_moves_all_windows_that_hold_it(desk: Desk) -> None:
    missing = records("DAILY", DAYS[10], BARS[DAYS[10]])
    late = records("BUSY", DAY, [(11_111.0005, 123.0)])
    desk.land("trades", [*missing, late[0] | {"tradeId": "LATE"}], unit="kafka:walks/0")
    desk.build("--select", "+gold.volatility")
    agrees(bars_of(desk), DAYS)
    names = ("gold.realized_volatility", "gold.daily_volatility")
    found = {name: desk.fingerprints()[name] for name in names}
    desk.build("--full-refresh", "--select", "+gold.volatility")
    assert {name: desk.fingerprints()[name] for name in names} == found
