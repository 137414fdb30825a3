"""Outliers against a second computation, and what they are kept out of."""

import random
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.desk import Desk, trade
from tests.oracle_trades import Print, outliers

OPEN = datetime(2025, 10, 1, 13, 30)
FLAGS = (
    "select substr(trade_id, 2)::int, trade_outliers.is_outlier "
    "from silver.trade_outliers join silver.trades using (trade_key) "
    "where trades.session_date = '{}' and trades.instrument_id = 'AAPL' order by 1"
)


def day(seed: int, number: int, level: int) -> list[tuple[datetime, Fraction]]:
    """A session's prints around a level: fat fingers, a jump that stays and one that does not."""
    rng = random.Random(seed)
    prints = []
    for place in range(300):
        base = level * (2 if 150 <= place < 170 else 1)  # twenty prints at another level
        if 200 <= place < 206:
            base = level * 2  # too few to be one
        price = Fraction(base * 100 + rng.randrange(-300, 300), 100)
        if rng.random() < 0.03 or place == 3:
            price *= 10 if rng.random() < 0.5 else Fraction(1, 10)
        at = OPEN + timedelta(days=number, seconds=place * 2, milliseconds=rng.randrange(1000))
        prints.append((at, price))
    return prints


@pytest.fixture(scope="module")
def judged(shared_desk: Desk) -> tuple[Desk, list[list[tuple[datetime, Fraction]]]]:
    """Two sessions; half of the first lands after both were built."""
    days = [day(seed=3, number=0, level=100), day(seed=4, number=1, level=103)]
    records: list[dict[str, Any]] = [
        trade(
            n * 1000 + place, f"{at.isoformat()}Z", price=f"{float(price):.4f}", instrument="AAPL"
        )
        for n, prints in enumerate(days)
        for place, (at, price) in enumerate(prints)
    ]
    shared_desk.land("trades", records[:100] + records[250:])
    shared_desk.build()
    shared_desk.land("trades", records[100:250])
    shared_desk.build()
    return shared_desk, days


def expected(days: list[list[tuple[datetime, Fraction]]]) -> list[dict[int, bool]]:
    """Flags of both sessions; the first closes at its last print (no auction, no early end)."""
    found = []
    previous: Fraction | None = None
    for number, prints in enumerate(days):
        ordered = [Print(int(at.timestamp() * 1e6) * 1000, price) for at, price in prints]
        flags = outliers(ordered, previous)
        found.append({number * 1000 + place: flag for place, flag in flags.items()})
        previous = prints[-1][1]
    return found


def test_prints_stray_where_a_second_computation_says_so(
    judged: tuple[Desk, list[list[tuple[datetime, Fraction]]]],
) -> None:
    desk, days = judged
    first, second = expected(days)
    assert dict(desk.query(FLAGS.format("2025-10-01"))) == first
    assert dict(desk.query(FLAGS.format("2025-10-02"))) == second
    assert set(first.values()) == {True, False}  # fat fingers, and a level that the market went to
    assert 1003 in second  # strays from the previous close, with three prints before it


def test_outliers_are_kept_out_of_candles_and_listed(
    judged: tuple[Desk, list[list[tuple[datetime, Fraction]]]],
) -> None:
    desk, days = judged
    out = sum(sum(flags.values()) for flags in expected(days))
    counted = (
        "select sum(trade_count) from gold.candles_1d where venue = 'ALL' and session_scope = 'all'"
    )
    assert desk.query(counted) == [(600 - out,)]
    assert desk.query("select count(*) from gold.excluded_trades where reason = 'OUTLIER'") == [
        (out,)
    ]


@pytest.mark.slow
def test_late_prints_judge_anew_what_a_full_refresh_would(
    judged: tuple[Desk, list[list[tuple[datetime, Fraction]]]],
) -> None:
    desk, _ = judged
    kept = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == kept
