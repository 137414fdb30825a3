"""Position snapshots equal the fills, refolded here in exact fractions from analytics.md 14."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import floor

import polars as pl
import pytest

from ingestion.generate import positions
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.trades import trade_day

PLAN = Plan(
    seed=3, quotes=4_000, trades=24_000, securities=150, snapshot_minutes=15,
    days=(date(2025, 10, 2), date(2025, 10, 3), date(2025, 10, 6)),
)  # fmt: skip
# So few trades that a day's first snapshots are marked at prices of the days before.
SPARSE = Plan(**{**vars(PLAN), "quotes": 300, "trades": 240, "snapshot_minutes": 5})
STOCKS = {stock.symbol for stock in PLAN.market.stocks}
MINUTE_US = 60_000_000


@cache
def snapshots(plan: Plan = PLAN) -> pl.DataFrame:
    return pl.concat([frame for day in plan.days for frame in positions.rows(plan, day)])


def half_up(number: Fraction, places: int) -> Decimal:
    """`number` rounded to `places`, a half away from zero."""
    rounded = floor(abs(number) * 10**places + Fraction(1, 2))
    return Decimal(rounded if number >= 0 else -rounded).scaleb(-places)


def after_fill(held: int, average: Fraction, price: Fraction, signed: int) -> tuple[int, Fraction]:
    """Position and average cost after one fill, as analytics.md 14 puts it."""
    total = held + signed
    if held == 0 or (held > 0) == (signed > 0):
        average = (average * abs(held) + price * abs(signed)) / (abs(held) + abs(signed))
    elif abs(signed) > abs(held):
        average = price
    return total, average


def refolded(plan: Plan) -> dict[tuple[int, str, str], tuple[int, Decimal | None, Decimal]]:
    """(time, trader, symbol) -> size, average and profit of every snapshot there must be."""
    book: dict[tuple[str, str], tuple[int, Fraction]] = defaultdict(lambda: (0, Fraction(0)))
    mark: dict[str, Fraction] = {}
    expected = {}
    step = plan.snapshot_minutes * MINUTE_US
    for day in plan.days:
        opened, closed = session_us(day)
        fills = trade_day(plan, day).filter(pl.col("instrument_id").is_in(STOCKS)).to_dicts()
        for at in range(opened + step, closed + 1, step):
            while fills and fills[0]["event_us"] <= at:
                fill = fills.pop(0)
                key = (f"TRADER_{fill['trader']:02d}", fill["instrument_id"])
                price = Fraction(fill["price"], 10_000)
                signed = fill["quantity"] if fill["buy"] else -fill["quantity"]
                book[key] = after_fill(*book[key], price, signed)
                mark[fill["instrument_id"]] = price
            for (trader, symbol), (held, average) in book.items():
                cost = half_up(average, 9) if held else None
                profit = held * (mark[symbol] - Fraction(cost)) if cost is not None else Fraction(0)
                expected[at, trader, symbol] = (held, cost, half_up(profit, 8))
        assert not fills
    return expected


@pytest.mark.parametrize("plan", [PLAN, SPARSE], ids=["busy", "sparse"])
def test_snapshots_equal_the_fills_over_all_days(plan: Plan) -> None:
    found = {
        (row["event_us"], row["trader_id"], row["instrument_id"]): (
            row["position_size"],
            None if row["avg_price"] is None else Decimal(row["avg_price"]).scaleb(-9),
            Decimal(row["current_pnl"]).scaleb(-8),
        )
        for row in snapshots(plan).iter_rows(named=True)
    }
    assert len(found) == len(snapshots(plan)) > 1_000
    assert found == refolded(plan)


def test_every_trader_has_every_stock_and_is_long_and_short() -> None:
    last = snapshots().filter(pl.col("event_us") == pl.col("event_us").max())
    assert len(last) == 20 * 8
    assert last["position_size"].min() < 0 < last["position_size"].max()


def test_a_snapshot_is_taken_every_so_many_minutes_up_to_the_close() -> None:
    step = 15 * MINUTE_US
    sessions = map(session_us, PLAN.days)
    expected = {at for opened, end in sessions for at in range(opened + step, end + 1, step)}
    assert len(expected) == 3 * 26
    assert set(snapshots()["event_us"]) == expected


@pytest.mark.parametrize(
    ("fills", "mark", "expected"),
    [
        # Golden of analytics.md 14: B100@10, B100@12, S50@13, S250@9, B40@8, mark 8.5.
        ([(10, 100), (12, 100), (13, -50), (9, -250), (8, 40)], 8.5, (-60, "9", "30")),
        ([(10, 100), (12, -100)], 11, (0, None, "0")),
        ([(10, 100), (12, -100), (7, 5)], 11, (5, "7", "20")),
        # The sample of analytics.md 14: 1000 * (175.23 - 174.50) = 730.00.
        ([(174.5, 1000)], 175.23, (1000, "174.5", "730")),
        # Two thirds of a cent, and exactly half a unit of the ninth decimal.
        ([(10, 1), (10.01, 2)], 10, (3, "10.006666667", "-0.02")),
        ([(1, 63), (1.0001, 1)], 1, (64, "1.000001563", "-0.00010003")),
    ],
)
def test_average_cost_follows_the_goldens(
    fills: list[tuple[float, int]], mark: float, expected: tuple[int, str | None, str]
) -> None:
    prices = [round(price * 10_000) for price, _ in fills]
    holding = positions._fold(None, prices, [signed for _, signed in fills])
    assert holding is not None
    size, average, profit = positions._reported(holding, round(mark * 10_000))
    shown = None if average is None else Decimal(average).scaleb(-9)
    assert (size, shown) == (expected[0], expected[1] and Decimal(expected[1]))
    assert Decimal(profit).scaleb(-8) == Decimal(expected[2])


def test_a_half_is_rounded_up_although_the_fold_lost_a_hair_of_it() -> None:
    # Six at an average of 10,000 and a third: sold down to four nothing terminates, at three the
    # cost is whole again, and 61 more make the end an exact half of a unit.
    prices = [10_000] * 4 + [10_001] * 2 + [9_000] * 2 + [10_000]
    signed = [1] * 6 + [-2, -1] + [61]
    holding = positions._fold(None, prices, signed)
    assert holding is not None
    assert positions._reported(holding, 10_000)[:2] == (64, 1_000_001_563)
