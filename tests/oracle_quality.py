"""What trade quality, velocity and order flow must be, from first principles (analytics.md 11, 15).

Plain Python over a handful of rows, by looking through all of them each time; nothing of the
project is imported. Prices are integers in 1/100, times ns.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import mean, median, stdev

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
TTL = 900 * SECOND


@dataclass(frozen=True)
class Quote:
    """A two-sided quote of a dealer; a side of None is withdrawn."""

    instrument: str
    dealer: str
    at: int
    bid: int | None
    offer: int | None


@dataclass(frozen=True)
class Trade:
    """A trade of the regular session; `side` is B, S or None."""

    id: str
    instrument: str
    at: int
    price: int
    quantity: int
    side: str | None


def best(quotes: Sequence[Quote], moment: int) -> tuple[int | None, int | None]:
    """Best bid and offer among the quotes of one instrument that live at a moment."""
    last: dict[str, Quote] = {}
    for quote in sorted(quotes, key=lambda q: q.at):
        if quote.at <= moment:
            last[quote.dealer] = quote
    live = [
        q
        for q in last.values()
        if moment < q.at + TTL and not (q.bid and q.offer and q.bid >= q.offer)
    ]
    bids = [q.bid for q in live if q.bid]
    offers = [q.offer for q in live if q.offer]
    return max(bids, default=None), min(offers, default=None)


def status(bid: int | None, offer: int | None) -> str:
    """Whether a pair of best quotes is a reference."""
    if bid is None and offer is None:
        return "NONE"
    if bid is None or offer is None:
        return "ONE_SIDED"
    return "OK" if bid < offer else "LOCKED" if bid == offer else "CROSSED"


def ticks(trades: Iterable[Trade]) -> dict[str, int]:
    """The tick rule: the sign of the last price change among the session's trades, at first +1."""
    found, last, sign = {}, None, 1
    for trade in trades:
        if last is not None and trade.price != last:
            sign = 1 if trade.price > last else -1
        last = trade.price
        found[trade.id] = sign
    return found


def quality(
    trades: Sequence[Trade], quotes: Sequence[Quote], close: int
) -> dict[str, dict[str, object]]:
    """Measures by trade id, of one instrument's trades in order; money is in 1/100."""
    tick = ticks(trades)
    found: dict[str, dict[str, object]] = {}
    for trade in trades:
        bid, offer = best(quotes, trade.at - 1)
        row: dict[str, object] = {"ref_status": status(bid, offer), "direction": None}
        if trade.side:
            row["direction"] = 1 if trade.side == "B" else -1
        if row["ref_status"] == "OK":
            assert bid is not None and offer is not None
            row |= measured(trade, bid, offer, tick[trade.id], quotes, close)
        found[trade.id] = row
    return found


def measured(
    trade: Trade, bid: int, offer: int, tick: int, quotes: Sequence[Quote], close: int
) -> dict[str, object]:
    """Measures of a trade with a valid reference."""
    mid = Fraction(bid + offer, 2)
    above = (trade.price > mid) - (trade.price < mid)
    direction = {"B": 1, "S": -1}.get(trade.side or "", above or tick)
    improvement = offer - trade.price if direction > 0 else trade.price - bid
    effective = 2 * direction * (trade.price - mid)
    row: dict[str, object] = {
        "direction": direction,
        "quoted_spread": Fraction(offer - bid),
        "effective_spread": effective,
        "effective_spread_bps": effective / mid * 10_000,
        "price_improvement": Fraction(improvement),
        "price_improvement_bps": improvement / mid * 10_000,
        "price_improvement_pct": Fraction(improvement * 100, offer - bid),
        "effective_over_quoted": effective / (offer - bid),
        "location": {bid: "AT_BID", offer: "AT_OFFER"}.get(
            trade.price, "INSIDE" if bid < trade.price < offer else "OUTSIDE"
        ),
        "is_within_spread": bid <= trade.price <= offer,
    }
    for seconds in (1, 5, 60, 300):
        later = trade.at + seconds * SECOND
        at = best(quotes, later)
        if later < close and at[0] is not None and at[1] is not None:
            then = Fraction(at[0] + at[1], 2)
            row[f"realized_spread_{seconds}s"] = 2 * direction * (trade.price - then)
            row[f"price_impact_{seconds}s"] = 2 * direction * (then - mid)
            row[f"price_impact_{seconds}s_bps"] = 2 * direction * (then - mid) / mid * 10_000
    return row


def velocity(trades: Sequence[Trade]) -> dict[str, tuple[int, int]]:
    """Trades and shares of (t - 60 s, t] at each trade of one instrument."""
    return {
        t.id: (len(near), sum(x.quantity for x in near))
        for t in trades
        for near in [[x for x in trades if t.at - MINUTE < x.at <= t.at]]
    }


def velocity_minutes(
    trades: Sequence[Trade], opened: int
) -> dict[int, tuple[int, float | None, Fraction, float | None]]:
    """Start of minute -> count, median ms between trades, share in the same ms, z-score."""
    minutes: defaultdict[int, list[int]] = defaultdict(list)
    for place, trade in enumerate(trades):
        minutes[trade.at // MINUTE].append(place)
    found = {}
    for minute, places in minutes.items():
        waits = [trades[p].at - trades[p - 1].at for p in places if p]
        same = [p for p in places if p and trades[p].at // 10**6 == trades[p - 1].at // 10**6]
        before = [len(minutes.get(minute - k, [])) for k in range(1, 21)]
        z = None
        if (minute - 20) * MINUTE >= opened and stdev(before) > 0:
            z = (len(places) - mean(before)) / stdev(before)
        waits = [wait for wait in waits if wait < 60 * MINUTE]
        found[minute * MINUTE] = (
            len(places),
            median(waits) / 1e6 if waits else None,
            Fraction(len(same), len(places)),
            z,
        )
    return found
