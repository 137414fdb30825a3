"""What analytics.md 4, 6 and 16 ask for, in plain Python over plain rows: no import of the project.

Times are ns since epoch UTC, prices and volumes Decimals. Slow and obvious on purpose.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

SECOND = 1_000_000_000
EPISODE = 60 * SECOND


class Print(NamedTuple):
    """A price as it was seen, in the order of its instrument."""

    dataset: str
    instrument: str
    venue: str | None
    session: Any
    at: int
    tie: int
    price: Decimal
    is_outlier: bool
    key: str


class Trigger(NamedTuple):
    """A moment at which a rule held for a key."""

    rule: str
    key: tuple[Any, ...]
    at: int
    value: Fraction
    severity: str
    name: str


class Episode(NamedTuple):
    """Triggers of one rule and key, at most a minute apart: start, end, how many, the strongest."""

    rule: str
    key: tuple[Any, ...]
    start: int
    end: int
    triggers: int
    severity: str
    value: float


def episodes(triggers: Iterable[Trigger]) -> set[Episode]:
    """One episode per run of triggers of which each is at most 60 s after the one before."""
    by_key: dict[Any, list[Trigger]] = defaultdict(list)
    for trigger in triggers:
        by_key[trigger.rule, trigger.key].append(trigger)
    found = set()
    for (rule, key), group in by_key.items():
        run: list[Trigger] = []
        for trigger in sorted(group, key=lambda t: (t.at, t.name)):
            if run and trigger.at - run[-1].at > EPISODE:
                found.add(_episode(rule, key, run))
                run = []
            run.append(trigger)
        found.add(_episode(rule, key, run))
    return found


def _episode(rule: str, key: tuple[Any, ...], run: Sequence[Trigger]) -> Episode:
    strongest = min(run, key=lambda t: (-abs(t.value), t.at, t.name))
    value = round(float(strongest.value), 9)
    return Episode(rule, key, run[0].at, run[-1].at, len(run), strongest.severity, value)


def _grouped(prints: Iterable[Print], *fields: str) -> dict[Any, list[Print]]:
    groups: dict[Any, list[Print]] = defaultdict(list)
    for one in sorted(prints, key=lambda p: (p.at, p.tie)):
        groups[tuple(getattr(one, name) for name in fields)].append(one)
    return groups


def _move(price: Fraction, reference: Fraction) -> tuple[Fraction, str] | None:
    """(per cent, severity) of a move of more than 2 per cent, strictly."""
    moved = (price - reference) / reference * 100
    if abs(moved) > 2:
        return moved, "SIGNIFICANT" if abs(moved) > 5 else "MODERATE"
    return None


def price_triggers(prints: Sequence[Print]) -> list[Trigger]:
    """price_move and fat_finger per venue, price_move_5m over all venues of the trades."""
    found: list[Trigger] = []
    valid: list[Print] = []
    for (dataset, instrument, venue, _), group in _grouped(
        prints, "dataset", "instrument", "venue", "session"
    ).items():
        key, before, last = (dataset, instrument, venue), None, None
        for one in group:
            is_near = before is not None and abs(one.price - before) * 100 <= before
            before = one.price
            if one.is_outlier and not is_near:
                found.append(Trigger("fat_finger", key, one.at, Fraction(0), "FAT_FINGER", one.key))
                continue
            valid.append(one)
            if last is not None and (move := _move(Fraction(one.price), Fraction(last))):
                found.append(Trigger("price_move", key, one.at, *move, one.key))
            last = one.price
    trades = [one for one in valid if one.dataset == "trades"]
    for (instrument, _), group in _grouped(trades, "instrument", "session").items():
        for one in group:
            near = [Fraction(p.price) for p in group if one.at - 300 * SECOND <= p.at < one.at]
            if near and (move := _move(Fraction(one.price), sum(near) / len(near))):
                key = ("trades", instrument, None)
                found.append(Trigger("price_move_5m", key, one.at, *move, one.key))
    return found


def spikes(volumes: Sequence[Decimal]) -> list[tuple[int, Fraction, str]]:
    """(place, multiple of the mean of the 20 before, severity) of each volume above 3 times it."""
    found = []
    for place in range(20, len(volumes)):
        mean = Fraction(sum(volumes[place - 20 : place])) / 20
        if mean > 0 and (times := Fraction(volumes[place]) / mean) > 3:
            found.append((place, times, "EXTREME" if times > 5 else "HIGH"))
    return found


def minute_volumes(trades: Iterable[tuple[int, Decimal]]) -> tuple[int, list[Decimal]]:
    """(first minute, volume of every minute from the first to the last that traded)."""
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for at, quantity in trades:
        sums[at // (60 * SECOND)] += quantity
    first = min(sums)
    return first, [sums[minute] for minute in range(first, max(sums) + 1)]


def gaps(moments: Sequence[int], thresholds_ms: Sequence[int]) -> set[tuple[int, int, int, int]]:
    """(threshold, start, end, missing intervals) for neighbours further apart than a threshold."""
    found = set()
    for start, end in pairwise(moments):
        for threshold in thresholds_ms:
            step = threshold * 1_000_000
            if end - start > step:
                found.add((threshold, start, end, -(-(end - start) // step) - 1))
    return found


class Quoted(NamedTuple):
    """A two-sided quote of a venue, which replaces the one before."""

    venue: str
    at: int
    bid: Decimal
    bid_size: int
    offer: Decimal
    offer_size: int


def arbitrages(quotes: Sequence[Quoted]) -> set[tuple[str, str, int, int, int, float, Decimal]]:
    """(buy venue, sell venue, start, end, triggers, peak bps, profit at the peak) of every episode.

    A trigger is two quotes of different venues that stand at the same moment, neither older than
    a second, the bid of one at least 10 bps above the offer of the other.
    """
    lives = []
    for venue in {q.venue for q in quotes}:
        own = sorted((q for q in quotes if q.venue == venue), key=lambda q: q.at)
        ends = [q.at for q in own[1:]] + [10**19]
        lives += [(q, min(end, q.at + SECOND + 1)) for q, end in zip(own, ends, strict=True)]
    runs: dict[tuple[str, str], list[tuple[int, int, Fraction, Decimal]]] = defaultdict(list)
    for seller, sold_until in lives:
        for buyer, bought_until in lives:
            start, end = max(seller.at, buyer.at), min(sold_until, bought_until)
            edge = Fraction(seller.bid - buyer.offer) / Fraction(buyer.offer) * 10_000
            if seller.venue != buyer.venue and start < end and edge >= 10:
                gain = (seller.bid - buyer.offer) * min(seller.bid_size, buyer.offer_size)
                runs[buyer.venue, seller.venue].append((start, end, edge, gain))
    found = set()
    for (buy, sell), triggers in runs.items():
        run: list[tuple[int, int, Fraction, Decimal]] = []
        for trigger in [*sorted(triggers), (10**20, 0, Fraction(0), Decimal(0))]:
            if run and trigger[0] - max(end for _, end, *_ in run) > EPISODE:
                _, _, edge, gain = min(run, key=lambda t: (-t[2], t[0]))
                end = max(end for _, end, *_ in run)
                found.add((buy, sell, run[0][0], end, len(run), round(float(edge), 9), gain))
                run = []
            run.append(trigger)
    return found


@dataclass
class Watermark:
    """The watermark of one stream of units (analytics.md 6), record by record.

    Of units that land in one commit, one that begins there holds the watermark until it is counted.
    """

    idle: int = 30 * SECOND
    newest: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    reached: int | None = None

    def before(self, unit: str, now: int, landing: Iterable[str]) -> int | None:
        """What the stream has reached before a record of a unit, no lateness taken off."""
        self._advance(unit, now, landing)
        return self.reached

    def include(self, unit: str, event: int, now: int, landing: Iterable[str]) -> None:
        """Count a record."""
        self.newest[unit] = max(self.newest.get(unit, event), event)
        self._advance(unit, now, landing)

    def hear(self, unit: str, arrival: int) -> None:
        """A unit's records have arrived, the last of them then."""
        self.heard[unit] = max(self.heard.get(unit, arrival), arrival)

    def _advance(self, unit: str, now: int, landing: Iterable[str]) -> None:
        if any(other not in self.newest for other in landing):
            return
        alive = [u for u in self.newest if u == unit or now - self.heard[u] <= self.idle]
        if alive:
            least = min(self.newest[u] for u in alive)
            self.reached = least if self.reached is None else max(self.reached, least)
