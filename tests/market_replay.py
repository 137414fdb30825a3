"""A generated market read back from its messages, and a plain replay of its dealers' quotes."""

import json
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream, truth

STOCKS = {"AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "NFLX"}
LIFETIME_US = 15 * 60 * 1_000_000  # of a dealer's quote (analytics.md 9, D16)

Row = dict[str, Any]


class Shown(NamedTuple):
    """One side of a dealer's quote; price None where he took it away."""

    at: int
    price: Decimal | None


Book = dict[tuple[str, str], Shown]  # by dealer and side


@cache
def rows(plan: Plan, dataset: str, day: date) -> list[Row]:
    """Sound messages in arrival order, numbers exact, `us` the event time."""
    faulty = set(truth(plan).filter(day=day)["message"]) if dataset == "trades" else set()
    read = [
        json.loads(value, parse_float=Decimal, parse_int=Decimal)
        for place, value in enumerate(stream(plan, dataset, day).values)
        if place not in faulty
    ]
    for row in read:
        if "timestamp" in row:
            row["us"] = micros(row["timestamp"])
    return read


def micros(text: str) -> int:
    """A time as microseconds since epoch UTC."""
    at = datetime.fromisoformat(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def all_rows(plan: Plan, dataset: str) -> list[Row]:
    """`rows` of all days."""
    return [row for day in plan.days for row in rows(plan, dataset, day)]


def by_instrument(plan: Plan, dataset: str, day: date) -> dict[str, list[Row]]:
    """In event order; quotes of one moment as their dealer numbered them, trades by their ids."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    order = "sequence" if dataset == "quotes" else "tradeId"
    for row in sorted(rows(plan, dataset, day), key=lambda row: (row["us"], row[order])):
        grouped[row["instrumentId"]].append(row)
    return grouped


def segments(plan: Plan) -> dict[str, str]:
    """Market segment by instrument, from the master of the first day."""
    master = rows(plan, "securities", plan.days[0])
    return {row["instrumentId"]: row["marketSegment"] for row in master}


def show(book: Book, quote: Row) -> None:
    """Put a quote into the book of its instrument."""
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


def best_before(quotes: list[Row], moments: list[int]) -> list[tuple[Decimal, Decimal] | None]:
    """Best bid and offer strictly before each of ascending moments; None unless bid < offer."""
    book: Book = {}
    place = 0
    found: list[tuple[Decimal, Decimal] | None] = []
    for moment in moments:
        while place < len(quotes) and quotes[place]["us"] < moment:
            show(book, quotes[place])
            place += 1
        bid, offer = best(book, moment)
        whole = bid is not None and offer is not None and bid < offer
        found.append((bid, offer) if whole else None)  # type: ignore[arg-type]
    return found


def close_to(share: float, count: int) -> object:
    """A share measured in `count` independent draws, within five standard deviations."""
    return pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)
