"""Best bid and offer by looking at every moment anew: slow, plain, independent of the models.

It restates sections 1 (D06), 9 and 0.2 of the definitions (analytics.md). Times are ns since
epoch UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

HOUR_NS = 3_600 * 10**9
NEW_YORK = ZoneInfo("America/New_York")
CLOSES = {"us_equity": 20, "corporate_bond": 24}  # local hour at which a session's quotes end


@dataclass(frozen=True)
class Said:
    """One message of one quoter: what it says of the sides that it touches (None: withdrawn)."""

    quoter: tuple[str, str, str]  # source, venue, dealer
    kind: str  # dealer | exchange | consolidated
    order: tuple[int, ...]  # time, then whatever decides within one nanosecond
    ttl_ns: int | None
    sides: dict[str, tuple[Decimal, Decimal | None] | None]

    @property
    def at(self) -> int:
        return self.order[0]


def session_bounds(at_ns: int, calendar: str) -> tuple[int, int]:
    """First moment of the session date that holds `at_ns`, and when its quotes end."""
    local = datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(NEW_YORK)
    midnight = datetime(local.year, local.month, local.day, tzinfo=NEW_YORK)
    hours = CLOSES[calendar]
    day = midnight + timedelta(days=1) if hours == 24 else midnight.replace(hour=hours)
    return int(midnight.timestamp()) * 10**9, int(day.timestamp()) * 10**9


class Standing:
    """What every quoter has in force at one moment, and since when at that price."""

    def __init__(self, messages: Iterable[Said], calendar: str) -> None:
        self.messages = sorted(messages, key=lambda said: said.order)
        self.calendar = calendar
        self.since: dict[tuple[Any, str], tuple[Decimal, int]] = {}

    def ends(self, said: Said) -> int:
        close = session_bounds(said.at, self.calendar)[1]
        return close if said.ttl_ns is None else min(close, said.at + said.ttl_ns)

    def moments(self) -> list[int]:
        """Every moment at which something can change, and every full hour between."""
        told = {said.at for said in self.messages} | {self.ends(said) for said in self.messages}
        first, last = min(told), max(told)
        hours = range(first // HOUR_NS * HOUR_NS + HOUR_NS, last + 1, HOUR_NS)
        return sorted(told | set(hours))

    def at(self, moment: int) -> dict[tuple[Any, str], tuple[Decimal, Decimal | None, int, str]]:
        """(quoter, side) -> price, size, since and kind; to be asked in order of time."""
        last: dict[tuple[Any, str], Said] = {}
        for said in self.messages:
            if said.at <= moment:
                last |= {(said.quoter, side): said for side in said.sides}
        live = {}
        for place, said in last.items():
            quote = said.sides[place[1]]
            if quote is None or moment >= self.ends(said):
                self.since.pop(place, None)
                continue
            if self.since.get(place, (None,))[0] != quote[0]:
                self.since[place] = (quote[0], moment)
            live[place] = (*quote, self.since[place][1], said.kind)
        return live


def without_own_crossed(live: dict[Any, Any]) -> dict[Any, Any]:
    """Without the dealers whose own bid is at or above their own offer."""
    wrong = {
        quoter
        for (quoter, side), (price, _, _, kind) in live.items()
        if side == "BID" and kind == "dealer" and (quoter, "OFFER") in live
        and price >= live[quoter, "OFFER"][0]
    }  # fmt: skip
    return {place: quote for place, quote in live.items() if place[0] not in wrong}


def side_of_best(live: dict[Any, Any], side: str) -> tuple[Any, ...]:
    """Best price, size there, dealers there, leader, and how many dealers are live."""
    quotes = {quoter: quote for (quoter, its), quote in live.items() if its == side}
    if not quotes:
        return None, None, None, None, 0
    best = (max if side == "BID" else min)(quote[0] for quote in quotes.values())
    there = {quoter: quote for quoter, quote in quotes.items() if quote[0] == best}
    sizes = [quote[1] for quote in there.values() if quote[1] is not None]
    leader = min(
        there, key=lambda q: (there[q][2], -(there[q][1] or Decimal(-1)), q[2], q[0], q[1])
    )
    dealers = ",".join(sorted({quoter[2] for quoter in there}))
    return best, sum(sizes) if sizes else None, dealers, leader[2], len({q[2] for q in quotes})


def best_quotes(messages: Sequence[Said], calendar: str) -> list[tuple[Any, ...]]:
    """(from, to, is new, bid side, offer side) of each state of an instrument, cut at hours."""
    standing = Standing(messages, calendar)
    rows: list[list[Any]] = []
    before: tuple[Any, ...] | None = None
    for moment in standing.moments():
        live = without_own_crossed(standing.at(moment))
        sides = side_of_best(live, "BID"), side_of_best(live, "OFFER")
        state = tuple(side[:3] for side in sides)
        is_new = state != before
        if rows and rows[-1][1] is None and (is_new or moment % HOUR_NS == 0):
            rows[-1][1] = moment
        if (is_new or moment % HOUR_NS == 0) and (sides[0][0], sides[1][0]) != (None, None):
            rows.append([moment, None, is_new, *sides])
        before = state
    return [tuple(row) for row in rows]
