"""The market as a whole: how many messages, the same ones every time, and trades at the quotes.

Everything is read from the messages; best quotes come from a plain replay of them.
"""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ingestion.generate.market import Market
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from tests.market_replay import (
    STOCKS,
    Row,
    all_rows,
    best_before,
    by_instrument,
    close_to,
    segments,
)

PLAN = Plan(seed=7, quotes=60_000, trades=40_000, securities=1_500, market=Market(active_bonds=12))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("days", "quotes", "trades", "securities"),
    [
        (1, 0, 0, 50),
        (1, 1, 0, 100),
        (1, 1, 1, 100),
        (1, 7, 100, 100),
        (2, 9, 3, 100),
        (3, 100, 1_000, 200),
        (5, 12_345, 6_789, 250),
        (5, 20_003, 1, 5_000),
    ],
)
def test_there_are_exactly_as_many_quotes_and_trades_as_asked_for(
    days: int, quotes: int, trades: int, securities: int
) -> None:
    plan = Plan(
        seed=9,
        days=tuple(date(2025, 10, 6 + day) for day in range(days)),
        quotes=quotes,
        trades=trades,
        securities=securities,
    )
    for dataset, total in (("quotes", quotes), ("trades", trades)):
        sizes = [len(stream(plan, dataset, day).values) for day in plan.days]
        assert sum(sizes) == total
        assert max(sizes) - min(sizes) <= 1


def test_every_instrument_quoted_or_traded_is_in_the_master() -> None:
    listed = segments(PLAN).keys()
    for dataset in ("quotes", "trades"):
        assert {row["instrumentId"] for row in all_rows(PLAN, dataset)} <= listed


def test_prices_are_whole_ticks() -> None:
    for row in [*all_rows(PLAN, "quotes"), *all_rows(PLAN, "trades")]:
        tick = Decimal("0.01") if row["instrumentId"] in STOCKS else Decimal("0.001")
        for name in {"bidPrice", "offerPrice", "price"} & row.keys():
            assert row[name] > 0 and row[name] % tick == 0


def test_times_are_in_milliseconds_for_bonds_and_microseconds_for_stocks() -> None:
    for row in [*all_rows(PLAN, "quotes"), *all_rows(PLAN, "trades")]:
        digits = row["timestamp"].partition(".")[2]
        assert digits.endswith("Z")
        assert len(digits) == (7 if row["us"] % 1_000 else 4)
        assert row["instrumentId"] in STOCKS or len(digits) == 4


def test_trades_print_at_inside_and_outside_the_best_quotes_as_often_as_planned() -> None:
    places: Counter[str] = Counter()
    better: dict[Decimal, set[Decimal]] = defaultdict(set)
    for day in PLAN.days:
        quotes = by_instrument(PLAN, "quotes", day)
        for name, trades in by_instrument(PLAN, "trades", day).items():
            sides = best_before(quotes[name], [trade["us"] for trade in trades])
            for trade, market in zip(trades, sides, strict=True):
                if market is None:
                    places["no market"] += 1
                elif market[1] - market[0] > (Decimal("0.01") if name in STOCKS else 0):
                    places[location(trade, *market)] += 1
                    if name in STOCKS and market[0] < trade["price"] < market[1]:
                        touch = market[trade["buySellIndicator"] == "B"]
                        better[market[1] - market[0]].add(abs(touch - trade["price"]) * 100)
    assert places.keys() <= {"touch", "inside", "outside", "no market"}
    assert places.pop("no market") / places.total() < 0.01  # also locked ones
    count = places.total()
    assert places["touch"] / count == close_to(0.88, count)
    assert places["inside"] / count == close_to(0.08, count)
    assert places["outside"] / count == close_to(0.04, count)
    # Inside, every tick between the two is traded: more than 100 trades for each of these widths.
    for ticks in (7, 8, 9):
        assert better[Decimal(ticks) / 100] == set(range(1, ticks))


def location(trade: Row, bid: Decimal, offer: Decimal) -> str:
    """Where a trade printed: buyers pay the offer or more, sellers get the bid or less."""
    price, buys = trade["price"], trade["buySellIndicator"] == "B"
    if price == (offer if buys else bid):
        return "touch"
    if bid < price < offer:
        return "inside"
    return "outside" if (price > offer if buys else price < bid) else "wrong side"


def test_trade_sizes_are_whole_lots_about_their_median() -> None:
    for lot, usual, names in ((1, 100, STOCKS), (1_000, 250_000, segments(PLAN).keys() - STOCKS)):
        sizes = [int(t["quantity"]) for t in all_rows(PLAN, "trades") if t["instrumentId"] in names]
        assert all(size > 0 and size % lot == 0 for size in sizes)
        assert median(sizes) == pytest.approx(usual, rel=0.05)


def test_twenty_traders_trade_equally_often_on_both_sides() -> None:
    trades = all_rows(PLAN, "trades")
    traders = Counter(trade["trader"] for trade in trades)
    assert sorted(traders) == [f"TRADER_{number:02d}" for number in range(1, 21)]
    for count in traders.values():
        assert count / len(trades) == close_to(0.05, len(trades))
    bought = sum(trade["buySellIndicator"] == "B" for trade in trades)
    # Sides come in runs: the variance of their mean is (1 + 0.3) / (1 - 0.3) times larger.
    assert bought / len(trades) == close_to(0.5, int(len(trades) * 0.7 / 1.3))
    assert {trade["buySellIndicator"] for trade in trades} == {"B", "S"}


def test_stocks_trade_on_numbered_venues_and_bonds_on_none() -> None:
    plan = Plan(seed=1, quotes=500, trades=300, fault_share=0, securities=200)
    for day in plan.days:
        by_venue: dict[str, list[int]] = defaultdict(list)
        for trade in map(json.loads, stream(plan, "trades", day).values):
            stock = trade["instrumentId"] in STOCKS
            assert ("venue" in trade) is stock and ("sequence" in trade) is stock
            if stock:
                by_venue[trade["venue"]].append(trade["sequence"])
        assert sorted(by_venue) == ["BATS", "NASDAQ", "NYSE"]
        for numbers in by_venue.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))


def digest_of(plan: Plan, days: Iterable[date]) -> str:
    """Digest of all bytes and arrival times of quotes and trades, made in the order of `days`."""
    made = {}
    for day in days:
        for dataset in ("trades", "quotes"):
            one = stream(plan, dataset, day)
            parts = [*one.values, *one.keys, one.recv_ts_ms.tobytes()]
            made[day, dataset] = sha256(b"|".join(parts)).hexdigest()
    return " ".join(made[key] for key in sorted(made))


SMALL: dict[str, Any] = {
    "quotes": 1_203,
    "trades": 807,
    "securities": 300,
    "days": (date(2025, 10, 2), date(2025, 10, 3), date(2025, 12, 5)),
}
FRESH = """
import sys
from importlib import util
spec = util.spec_from_file_location("market_test", sys.argv[1])
module = util.module_from_spec(spec)
spec.loader.exec_module(module)
plan = module.Plan(seed=3, **module.SMALL)
print(module.digest_of(plan, [plan.days[2], plan.days[0], plan.days[1]]))
"""


def test_any_day_can_be_made_first_and_in_a_process_of_its_own() -> None:
    plan = Plan(seed=3, **SMALL)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, __file__],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "POLARS_MAX_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest_of(plan, plan.days)


def test_another_seed_makes_other_bytes_on_every_day() -> None:
    one, other = (digest_of(Plan(seed=seed, **SMALL), SMALL["days"]).split() for seed in (3, 4))
    assert len(one) == 6 and not set(one) & set(other)
