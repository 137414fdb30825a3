"""The market the generator makes: dealers' spreads and habits, and trades that follow the quotes.

Everything is read from the messages. Best quotes come from a plain replay of them.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytest

from ingestion.generate.market import Market
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.stream import stream, truth

PLAN = Plan(
    seed=7, quotes=60_000, trades=40_000, securities=1_500, market=Market(active_bonds=12)
)
STOCKS = {"AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "NFLX"}
# Full dealer spread in bps by segment (analytics.md 23.3); the stocks' is a setting.
BOUNDS = {"HG": (5, 20), "AG": (5, 15), "HY": (20, 50), "EQUITY": (5, 10)}
LIFETIME_US = 15 * 60 * 1_000_000

Row = dict[str, Any]


class Shown(NamedTuple):
    """One side of a dealer's quote; price None where he took it away."""

    at: int
    price: Decimal | None


Book = dict[tuple[str, str], Shown]  # by dealer and side


@cache
def rows(dataset: str, day: date) -> list[Row]:
    """Sound messages in arrival order, numbers exact, `us` the event time."""
    faulty = set(truth(PLAN).filter(day=day)["message"]) if dataset == "trades" else set()
    values = stream(PLAN, dataset, day).values
    read = [
        json.loads(value, parse_float=Decimal, parse_int=Decimal)
        for place, value in enumerate(values)
        if place not in faulty
    ]
    return [{**row, "us": micros(row["timestamp"])} for row in read if "timestamp" in row] or read


def micros(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def all_rows(dataset: str) -> list[Row]:
    return [row for day in PLAN.days for row in rows(dataset, day)]


def by_instrument(dataset: str, day: date) -> dict[str, list[Row]]:
    """In event order; messages of one moment in the order their dealer sent them."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows(dataset, day), key=lambda row: (row["us"], row.get("sequence", 0))):
        grouped[row["instrumentId"]].append(row)
    return grouped


def is_two_sided(quote: Row) -> bool:
    return "bidPrice" in quote and "offerPrice" in quote


def apply(book: Book, quote: Row) -> None:
    at, dealer = quote["us"], quote["dealerId"]
    if "side" in quote:
        book[dealer, quote["side"]] = Shown(at, quote.get("price"))
    else:
        book[dealer, "BID"] = Shown(at, quote.get("bidPrice"))
        book[dealer, "OFFER"] = Shown(at, quote.get("offerPrice"))


def best(book: Book, at: int) -> tuple[Decimal | None, Decimal | None]:
    """Best bid and offer of what is alive at a moment."""
    live = {
        key: shown.price
        for key, shown in book.items()
        if shown.price is not None and at < shown.at + LIFETIME_US
    }
    bids = [price for (_, side), price in live.items() if side == "BID"]
    offers = [price for (_, side), price in live.items() if side == "OFFER"]
    return max(bids, default=None), min(offers, default=None)


def with_best_before(day: date) -> Iterator[tuple[Row, Decimal | None, Decimal | None]]:
    """Each trade with the best bid and offer strictly before it."""
    quotes = by_instrument("quotes", day)
    for name, trades in by_instrument("trades", day).items():
        book: Book = {}
        place = 0
        for trade in trades:
            while place < len(quotes[name]) and quotes[name][place]["us"] < trade["us"]:
                apply(book, quotes[name][place])
                place += 1
            yield trade, *best(book, trade["us"])


def close_to(share: float, count: int) -> object:
    """A share measured in `count` independent draws, within five standard deviations."""
    return pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)


def segments() -> dict[str, str]:
    return {row["instrumentId"]: row["marketSegment"] for row in rows("securities", PLAN.days[0])}


def test_every_dealer_spread_lies_in_the_bounds_of_its_segment() -> None:
    segment, seen = segments(), set()
    for quote in filter(is_two_sided, all_rows("quotes")):
        bid, offer = quote["bidPrice"], quote["offerPrice"]
        low, high = BOUNDS[segment[quote["instrumentId"]]]
        # (offer - bid) / mid * 10,000, without a division.
        assert low * (bid + offer) <= 20_000 * (offer - bid) <= high * (bid + offer), quote
        seen.add(segment[quote["instrumentId"]])
    assert seen == BOUNDS.keys()


def test_spreads_fill_their_bounds() -> None:
    segment = segments()
    found: dict[str, list[float]] = defaultdict(list)
    for quote in filter(is_two_sided, all_rows("quotes")):
        bid, offer = float(quote["bidPrice"]), float(quote["offerPrice"])
        found[segment[quote["instrumentId"]]].append(20_000 * (offer - bid) / (bid + offer))
    for name, (low, high) in BOUNDS.items():
        assert min(found[name]) < low * 1.1 and max(found[name]) > high * 0.95
        # Lognormal about the geometric middle.
        assert median(found[name]) == pytest.approx((low * high) ** 0.5, rel=0.12)


def test_prices_are_whole_ticks() -> None:
    for row in [*all_rows("quotes"), *all_rows("trades")]:
        tick = Decimal("0.01") if row["instrumentId"] in STOCKS else Decimal("0.001")
        for name in {"bidPrice", "offerPrice", "price"} & row.keys():
            assert row[name] > 0 and row[name] % tick == 0


def form(quote: Row) -> str:
    """Which of the four forms of R1 a message has."""
    whole = {"bidPrice", "offerPrice", "bidSize", "offerSize"}
    alone = {"side", "action", "price", "size"}
    present = quote.keys() & (whole | alone)
    if present == whole:
        assert quote["bidSize"] > 0 and quote["offerSize"] > 0
        return "two-sided"
    if present == alone:
        assert quote["action"] == "UPDATE" and quote["size"] > 0
        return "one-sided"
    if present == {"side", "action"}:
        assert quote["action"] == "DELETE"
        return "deleted"
    [gone] = {("bidPrice", "bidSize"), ("offerPrice", "offerSize")} - {
        pair for pair in (("bidPrice", "bidSize"), ("offerPrice", "offerSize")) if quote[pair[1]]
    }
    assert whole - present == {gone[0]} and quote[gone[1]] == 0
    return "withdrawn"


def test_two_in_a_hundred_quotes_are_one_sided_and_one_in_a_hundred_takes_a_side_away() -> None:
    forms: Counter[str] = Counter()
    opened: set[tuple[date, str, str]] = set()
    for day in PLAN.days:
        for quotes in by_instrument("quotes", day).values():
            for quote in quotes:
                key = (day, quote["instrumentId"], quote["dealerId"])
                if key in opened:
                    forms[form(quote)] += 1
                    continue
                assert form(quote) == "two-sided"  # a dealer opens with a whole quote
                opened.add(key)
    count = forms.total()
    assert count > 59_000
    assert forms["one-sided"] / count == close_to(0.02, count)
    assert forms["withdrawn"] / count == close_to(0.005, count)
    assert forms["deleted"] / count == close_to(0.005, count)


def test_the_two_sides_are_named_and_taken_away_equally_often() -> None:
    sides = Counter(quote["side"] for quote in all_rows("quotes") if "side" in quote)
    assert sides.keys() == {"BID", "OFFER"}
    assert sides["BID"] / sides.total() == close_to(0.5, sides.total())


def test_eight_to_twelve_dealers_make_a_market_in_each_bond_and_six_in_each_stock() -> None:
    for day in PLAN.days:
        for name, quotes in by_instrument("quotes", day).items():
            dealers = {quote["dealerId"] for quote in quotes}
            assert len(dealers) == 6 if name in STOCKS else 8 <= len(dealers) <= 12


def test_one_dealer_of_each_bond_sleeps_and_refreshes_every_ten_minutes() -> None:
    opened, closed = session_us(PLAN.days[0])
    wakes = list(range(opened + 600_000_000, closed, 600_000_000))
    for name, quotes in by_instrument("quotes", PLAN.days[0]).items():
        times: dict[str, list[int]] = defaultdict(list)
        for quote in quotes:
            times[quote["dealerId"]].append(quote["us"])
        sleepy = [dealer for dealer, at in times.items() if at[1:] == wakes]
        assert len(sleepy) == (0 if name in STOCKS else 1)
        assert all(at[0] < opened + 1_000_000 for at in times.values())


def test_each_dealer_numbers_his_quotes_of_a_day_without_a_gap_in_event_order() -> None:
    for day in PLAN.days:
        numbered: dict[str, list[tuple[Decimal, int]]] = defaultdict(list)
        for quote in rows("quotes", day):
            numbered[quote["dealerId"]].append((quote["sequence"], quote["us"]))
        assert sorted(numbered) == [f"DEALER_{number:03d}" for number in range(1, 13)]
        for quotes in numbered.values():
            assert [number for number, _ in sorted(quotes)] == list(range(1, len(quotes) + 1))
            times = [at for _, at in sorted(quotes)]
            assert times == sorted(times)


def crossed_share(quotes: list[Row], opened: int, closed: int) -> float:
    """Share of the session in which the best bid is above the best offer."""
    ends = {quote["us"] + LIFETIME_US for quote in quotes}
    moments = sorted({quote["us"] for quote in quotes} | {at for at in ends if at < closed})
    book: Book = {}
    crossed = place = 0
    for at, until in zip(moments, [*moments[1:], closed], strict=True):
        while place < len(quotes) and quotes[place]["us"] <= at:
            apply(book, quotes[place])
            place += 1
        bid, offer = best(book, at)
        if bid is not None and offer is not None and bid > offer:
            crossed += until - at
    return crossed / (closed - opened)


def test_awake_dealers_cross_each_other_less_than_half_a_percent_of_the_time() -> None:
    opened, closed = session_us(PLAN.days[0])
    quoted = by_instrument("quotes", PLAN.days[0])
    for name in ("AAPL", "TSLA", "NFLX", *sorted(quoted.keys() - STOCKS)[::4]):
        sleepy = "" if name in STOCKS else min(quoted[name], key=lambda q: abs(q["us"] - opened - 600_000_000))["dealerId"]
        awake = [quote for quote in quoted[name] if quote["dealerId"] != sleepy]
        assert crossed_share(awake, opened, closed) < 0.005, name


def test_trades_print_at_inside_and_outside_the_best_quotes_as_often_as_planned() -> None:
    places: Counter[str] = Counter()
    for day in PLAN.days:
        for trade, bid, offer in with_best_before(day):
            if bid is None or offer is None or bid >= offer:
                places["no market"] += 1
            elif offer - bid > (Decimal("0.01") if trade["instrumentId"] in STOCKS else 0):
                places[location(trade, bid, offer)] += 1
    assert places.keys() <= {"touch", "inside", "outside", "no market"}
    assert places.pop("no market") / places.total() < 0.005
    count = places.total()
    assert places["touch"] / count == close_to(0.88, count)
    assert places["inside"] / count == close_to(0.08, count)
    assert places["outside"] / count == close_to(0.04, count)


def location(trade: Row, bid: Decimal, offer: Decimal) -> str:
    """Where a trade printed: buyers pay the offer or more, sellers get the bid or less."""
    price, buys = trade["price"], trade["buySellIndicator"] == "B"
    if price == (offer if buys else bid):
        return "touch"
    if bid < price < offer:
        return "inside"
    return "outside" if (price > offer if buys else price < bid) else "wrong side"


def test_trade_sizes_are_whole_lots_about_their_median() -> None:
    for lot, usual, names in ((1, 100, STOCKS), (1_000, 250_000, segments().keys() - STOCKS)):
        sizes = [int(t["quantity"]) for t in all_rows("trades") if t["instrumentId"] in names]
        assert all(size > 0 and size % lot == 0 for size in sizes)
        assert median(sizes) == pytest.approx(usual, rel=0.05)


def test_twenty_traders_trade_equally_often_on_both_sides() -> None:
    trades = all_rows("trades")
    traders = Counter(trade["trader"] for trade in trades)
    assert sorted(traders) == [f"TRADER_{number:02d}" for number in range(1, 21)]
    for count in traders.values():
        assert count / len(trades) == close_to(0.05, len(trades))
    bought = sum(trade["buySellIndicator"] == "B" for trade in trades)
    # Sides come in runs: the variance of their mean is (1 + 0.3) / (1 - 0.3) times larger.
    assert bought / len(trades) == close_to(0.5, int(len(trades) * 0.7 / 1.3))
    assert {trade["buySellIndicator"] for trade in trades} == {"B", "S"}


def test_every_instrument_quoted_or_traded_is_in_the_master() -> None:
    listed = segments().keys()
    for dataset in ("quotes", "trades"):
        assert {row["instrumentId"] for row in all_rows(dataset)} <= listed


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


def test_most_quotes_come_in_rounds_of_all_awake_dealers_within_50_ms() -> None:
    for name, quotes in by_instrument("quotes", PLAN.days[0]).items():
        awake = len({quote["dealerId"] for quote in quotes}) - (name not in STOCKS)
        times = [quote["us"] for quote in quotes]
        # Times of bonds are rounded to a millisecond.
        around = [bisect_left(times, at + 51_000) - bisect_left(times, at - 50_999) for at in times]
        assert sum(count >= awake for count in around) / len(times) > 0.75


def test_a_day_opens_where_the_day_before_closed() -> None:
    ends: list[dict[str, float]] = []
    for day, place in zip(PLAN.days, (-1, 0), strict=True):
        mids = {}
        for name, quotes in by_instrument("quotes", day).items():
            quote = [quote for quote in quotes if is_two_sided(quote)][place]
            mids[name] = float(quote["bidPrice"] + quote["offerPrice"]) / 2
        ends.append(mids)
    closing, opening = ends
    moves = np.array([opening[name] / closing[name] - 1 for name in closing])
    assert len(moves) == 20
    # Skew and rounding of a quote of 50 bps, and what happens in the first and last second.
    assert np.abs(moves).max() < 0.002


def test_times_are_in_milliseconds_for_bonds_and_microseconds_for_stocks() -> None:
    for row in [*all_rows("quotes"), *all_rows("trades")]:
        digits = row["timestamp"].partition(".")[2]
        assert digits.endswith("Z")
        assert len(digits) == (7 if row["us"] % 1_000 else 4)
        assert row["instrumentId"] in STOCKS or len(digits) == 4
