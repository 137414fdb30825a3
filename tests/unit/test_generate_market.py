"""The market the generator makes: spreads, ticks, walks, and trades that follow the quotes."""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream, truth

PLAN = Plan(seed=7, quotes=30_000, trades=20_000, securities=1_500)
STOCKS = {"AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "NFLX"}
# Full dealer spread in bps by segment (analytics.md 23.3); the stocks' is the brief of this room.
BOUNDS = {"HG": (5, 20), "AG": (5, 15), "HY": (20, 50), "EQUITY": (5, 10)}


@cache
def rows(dataset: str, day: date) -> list[dict[str, Any]]:
    """Sound messages in arrival order, numbers exact."""
    faulty = set(truth(PLAN).filter(day=day)["message"]) if dataset == "trades" else set()
    values = stream(PLAN, dataset, day).values
    return [
        json.loads(value, parse_float=Decimal, parse_int=Decimal)
        for place, value in enumerate(values)
        if place not in faulty
    ]


def all_rows(dataset: str) -> list[dict[str, Any]]:
    return [row for day in PLAN.days for row in rows(dataset, day)]


def is_two_sided(quote: dict[str, Any]) -> bool:
    return quote["bidPrice"] is not None and quote["offerPrice"] is not None


def spread_bps(quote: dict[str, Any]) -> Decimal:
    bid, offer = quote["bidPrice"], quote["offerPrice"]
    return Decimal((offer - bid) * 20_000 / (bid + offer))


def test_dealer_spreads_lie_in_the_bounds_of_their_segment() -> None:
    segment = {
        row["instrumentId"]: row["marketSegment"] for row in rows("securities", PLAN.days[0])
    }
    seen: Counter[str] = Counter()
    for quote in filter(is_two_sided, all_rows("quotes")):
        kind = segment[quote["instrumentId"]]
        low, high = BOUNDS[kind]
        assert low <= spread_bps(quote) <= high, quote
        seen[kind] += 1
    assert seen.keys() == BOUNDS.keys()


def test_prices_are_whole_ticks() -> None:
    for row in [*all_rows("quotes"), *all_rows("trades")]:
        tick = Decimal("0.01") if row["instrumentId"] in STOCKS else Decimal("0.001")
        for name in {"bidPrice", "offerPrice", "price"} & row.keys():
            assert row[name] is None or row[name] % tick == 0


def test_about_one_quote_in_a_hundred_withdraws_one_side() -> None:
    quotes = all_rows("quotes")
    withdrawn = [quote for quote in quotes if not is_two_sided(quote)]
    assert 0.007 < len(withdrawn) / len(quotes) < 0.013
    for quote in withdrawn:
        sides = [(quote["bidPrice"], quote["bidSize"]), (quote["offerPrice"], quote["offerSize"])]
        assert [side for side in sides if side[0] is None] == [(None, 0)]
        assert all(size > 0 for price, size in sides if price is not None)


def test_each_dealer_numbers_his_quotes_of_a_day_without_a_gap() -> None:
    for day in PLAN.days:
        numbered: dict[str, list[tuple[Decimal, str]]] = defaultdict(list)
        for quote in rows("quotes", day):
            at = quote["timestamp"].rstrip("Z").ljust(26, "0")
            numbered[quote["dealerId"]].append((quote["sequence"], at))
        assert sorted(numbered) == [f"DEALER_{number:03d}" for number in range(1, 13)]
        for quotes in numbered.values():
            assert [number for number, _ in sorted(quotes)] == list(range(1, len(quotes) + 1))
            times = [at for _, at in sorted(quotes)]
            assert times == sorted(times)


def test_stocks_trade_on_numbered_venues_and_bonds_on_none() -> None:
    for day in PLAN.days:
        every = [
            json.loads(value)
            for value in stream(
                Plan(seed=1, quotes=500, trades=300, fault_share=0), "trades", day
            ).values
        ]
        by_venue: dict[str, list[int]] = defaultdict(list)
        for trade in every:
            stock = trade["instrumentId"] in STOCKS
            assert ("venue" in trade) is stock and ("sequence" in trade) is stock
            if stock:
                by_venue[trade["venue"]].append(trade["sequence"])
        assert sorted(by_venue) == ["BATS", "NASDAQ", "NYSE"]
        for numbers in by_venue.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_activity_is_highest_at_the_open_and_the_close() -> None:
    half_hours: Counter[int] = Counter()
    for quote in all_rows("quotes"):
        at = datetime.fromisoformat(quote["timestamp"])
        opened = at.replace(hour=13, minute=30, second=0, microsecond=0)
        half_hours[int((at - opened).total_seconds() // 1_800)] += 1
    total = sum(half_hours.values())
    # First and last 30 of 390 minutes: the integral of d(u) gives 26.7 % (analytics.md 23.3).
    assert (half_hours[0] + half_hours[12]) / total == pytest.approx(0.267, abs=0.01)


def test_a_few_hundred_names_are_active_and_few_carry_most() -> None:
    active = Counter(quote["instrumentId"] for quote in all_rows("quotes"))
    assert active.keys() >= STOCKS
    assert 250 <= len(active) <= 308
    top = sum(count for _, count in active.most_common(30))
    assert top / active.total() > 0.4


def test_a_day_opens_where_the_day_before_closed() -> None:
    first, second = PLAN.days
    closing: dict[str, Decimal] = {}
    for quote in filter(is_two_sided, rows("quotes", first)):
        closing[quote["instrumentId"]] = (quote["bidPrice"] + quote["offerPrice"]) / 2
    opening: dict[str, Decimal] = {}
    for quote in filter(is_two_sided, rows("quotes", second)):
        mid = (quote["bidPrice"] + quote["offerPrice"]) / 2
        opening.setdefault(quote["instrumentId"], mid)
    moves = [abs(opening[name] / closing[name] - 1) for name in STOCKS]
    assert max(moves) < Decimal("0.005")


def test_daily_moves_of_stocks_are_those_of_their_volatility() -> None:
    # Eight stocks of 25-50 % a year over 20 days: the mean squared daily return, in units of
    # variance / 252, is chi-squared with 160 degrees of freedom over 160: 1 +- 0.11.
    volatility = dict(
        zip(sorted(STOCKS), (0.25, 0.35, 0.30, 0.35, 0.25, 0.40, 0.40, 0.50), strict=True)
    )
    plan = Plan(
        seed=4,
        days=tuple(date(2025, 9, day) for day in range(1, 22)),
        quotes=42_000,
        trades=0,
        securities=1_100,
    )
    closing: dict[str, list[float]] = defaultdict(list)
    for day in plan.days:
        last = {}
        for value in stream(plan, "quotes", day).values:
            quote = json.loads(value)
            if quote["instrumentId"] in STOCKS and is_two_sided(quote):
                last[quote["instrumentId"]] = (quote["bidPrice"] + quote["offerPrice"]) / 2
        for name, mid in last.items():
            closing[name].append(mid)
    squares = [
        (after / before - 1) ** 2 * 252 / volatility[name] ** 2
        for name, mids in closing.items()
        for before, after in pairwise(mids)
    ]
    assert len(squares) == 160
    assert 0.6 < sum(squares) / len(squares) < 1.5


def test_trades_print_at_inside_and_outside_the_latest_quote_as_often_as_planned() -> None:
    places: Counter[str] = Counter()
    for day in PLAN.days:
        book: dict[str, list[tuple[datetime, int, Decimal, Decimal]]] = defaultdict(list)
        for place, quote in enumerate(filter(is_two_sided, rows("quotes", day))):
            at = datetime.fromisoformat(quote["timestamp"])
            book[quote["instrumentId"]].append((at, place, quote["bidPrice"], quote["offerPrice"]))
        for quotes in book.values():
            quotes.sort()
        for trade in rows("trades", day):
            at = datetime.fromisoformat(trade["timestamp"])
            quotes = book[trade["instrumentId"]]
            before = bisect_left(quotes, (at,)) - 1
            assert before >= 0, "a trade needs a quote strictly before it"
            quoted_at, _, bid, offer = quotes[before]
            assert (at - quoted_at).total_seconds() <= 5
            places[location(trade, bid, offer)] += 1
    total = places.total()
    assert places["touch"] / total == pytest.approx(0.88, abs=0.01)
    assert places["inside"] / total == pytest.approx(0.08, abs=0.01)
    assert places["outside"] / total == pytest.approx(0.04, abs=0.01)
    assert places["wrong side"] / total < 0.002  # quotes of one millisecond, whose order is open


def location(trade: dict[str, Any], bid: Decimal, offer: Decimal) -> str:
    """Where a trade printed: buyers pay the offer or more, sellers get the bid or less."""
    price, buys = trade["price"], trade["buySellIndicator"] == "B"
    if price == (offer if buys else bid):
        return "touch"
    if bid < price < offer:
        return "inside"
    return "outside" if (price > offer if buys else price < bid) else "wrong side"


def test_sizes_are_positive_and_traders_are_twenty() -> None:
    trades = all_rows("trades")
    assert {trade["trader"] for trade in trades} == {f"TRADER_{n:02d}" for n in range(1, 21)}
    assert all(trade["quantity"] > 0 for trade in trades)
    assert 0.47 < sum(trade["buySellIndicator"] == "B" for trade in trades) / len(trades) < 0.53


def test_times_are_utc_in_milliseconds_for_bonds_and_microseconds_for_stocks() -> None:
    for row in [*all_rows("quotes"), *all_rows("trades")]:
        expected = 27 if row["instrumentId"] in STOCKS else 24
        assert len(row["timestamp"]) == expected and row["timestamp"].endswith("Z")
        assert datetime.fromisoformat(row["timestamp"]).tzinfo == UTC
