"""Faults that only show among other messages: late ones, and prices far from those before."""

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

import polars as pl
import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream, truth
from tests.market_replay import micros


def kept(plan: Plan, day: date) -> Iterator[tuple[int, dict[str, Any]]]:
    """Place and content of the trades of a day that are neither rejected nor a copy, as received.

    Kinds are told apart by the truth table; test_generate_faults.py shows that it is right.
    """
    gone = truth(plan).filter((pl.col("verdict") == "rejected") | (pl.col("silver") == "duplicate"))
    skipped = set(gone.filter(day=day)["message"])
    for place, value in enumerate(stream(plan, "trades", day).values):
        if place not in skipped:
            yield place, json.loads(value, parse_float=Decimal, parse_int=Decimal)


PLANS = [
    Plan(seed=5, quotes=20_000, trades=20_000, securities=1_000),
    Plan(seed=1, quotes=40_000, trades=15_000, securities=1_000, days=(date(2025, 10, 6),)),
    Plan(seed=0, quotes=10_000, trades=10_000, securities=1_000, fault_share=0.3),
]


@pytest.mark.parametrize("plan", PLANS)
def test_exactly_the_late_messages_come_after_their_second_was_closed(plan: Plan) -> None:
    for day in plan.days:
        newest = 0
        late = set()
        for place, row in kept(plan, day):
            at = micros(row["timestamp"])
            # analytics.md 6: late if the window's end <= watermark, which trails by 200 ms.
            if (at // 1_000_000 + 1) * 1_000_000 <= newest - 200_000:
                late.add(place)
            newest = max(newest, at)
        assert late == set(truth(plan).filter(day=day, kind="late")["message"])


@pytest.mark.parametrize("plan", PLANS)
def test_exactly_the_fat_fingers_are_outliers_of_the_trades_before_them(plan: Plan) -> None:
    for day in plan.days:
        before: dict[str, deque[Decimal]] = defaultdict(lambda: deque(maxlen=50))
        outliers = set()
        in_order = sorted(
            kept(plan, day), key=lambda one: (micros(one[1]["timestamp"]), one[1]["tradeId"])
        )
        for place, row in in_order:
            earlier, price = before[row["instrumentId"]], row["price"]
            # analytics.md 5: strictly more than 5 % off the median of at most 50, at least 20.
            if len(earlier) >= 20:
                reference = median(earlier)
                if abs(price - reference) * 100 > 5 * reference:
                    outliers.add(place)
            earlier.append(price)
        assert outliers == set(truth(plan).filter(day=day, kind="fat_finger")["message"])
