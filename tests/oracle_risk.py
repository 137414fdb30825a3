"""Truth about positions, P&L, exposure and limits [14], computed a second time in plain fractions.

Nothing here imports the project. Money is a Fraction; where the definitions round, they round here
by the same words: a released cost half up to 12 decimals, an average half up to 12 decimals.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
LIMITS = {  # worse than the first is WARN, than the second BREACH
    "position_notional": (Fraction(500_000), Fraction(1_000_000)),
    "gross_exposure": (Fraction(4_000_000), Fraction(5_000_000)),
    "daily_pnl": (Fraction(-80_000), Fraction(-100_000)),
}
Key = tuple[str, str]  # trader, instrument


@dataclass(frozen=True)
class Fill:
    """A trade of a trader. `order` decides among the fills of one nanosecond."""

    trader: str
    instrument: str
    ns: int
    order: int
    signed: Fraction
    price: Fraction
    multiplier: Fraction = Fraction(1)
    fee: Fraction = Fraction(0)

    @property
    def notional(self) -> Fraction:
        """Money that changes hands, without sign."""
        return abs(self.signed) * self.price * self.multiplier


@dataclass(frozen=True)
class State:
    """A position after a fill. `cost` has the sign of the quantity."""

    quantity: Fraction = Fraction(0)
    average: Fraction | None = None
    cost: Fraction = Fraction(0)
    realized: Fraction = Fraction(0)
    cash: Fraction = Fraction(0)
    fill: Fill | None = None


def half_up(value: Fraction, places: int = 12) -> Fraction:
    """Rounded, halves away from zero."""
    scaled = abs(value) * 10**places
    rounded = Fraction((2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator))
    return (rounded if value >= 0 else -rounded) / 10**places


def after(state: State, fill: Fill) -> State:
    """The position after one more fill."""
    held, new = state.quantity, state.quantity + fill.signed
    realized, average = state.realized - fill.fee, state.average
    closed = min(abs(held), abs(fill.signed)) if held * fill.signed < 0 else Fraction(0)
    proceeds = closed * fill.price * fill.multiplier * (1 if held > 0 else -1)
    if closed == 0:
        cost = state.cost + fill.signed * fill.price * fill.multiplier
    elif abs(fill.signed) < abs(held):
        cost = half_up(state.cost * new / held)
        realized += proceeds - (state.cost - cost)
    else:
        cost = new * fill.price * fill.multiplier
        realized += proceeds - state.cost
    if new == 0:
        average = None
    elif closed == 0 or new * held < 0:
        average = half_up(cost / (new * fill.multiplier))
    cash = state.cash - fill.signed * fill.price * fill.multiplier - fill.fee
    return State(new, average, cost, realized, cash, fill)


def positions(fills: Iterable[Fill]) -> dict[Key, list[State]]:
    """States of each position after each of its fills, in order."""
    found: dict[Key, list[State]] = defaultdict(list)
    for fill in sorted(fills, key=lambda f: (f.ns, f.order)):
        states = found[fill.trader, fill.instrument]
        states.append(after(states[-1] if states else State(), fill))
    return found


@dataclass(frozen=True)
class Marks:
    """What an instrument is worth: quotes (from, until, mid), prints (ns, price), closes."""

    quotes: Sequence[tuple[int, int, Fraction]]
    prints: Sequence[tuple[int, Fraction]]
    closes: Sequence[tuple[int, Fraction]] = ()  # (from when it is the previous one, price)

    def at(self, ns: int) -> tuple[Fraction | None, str]:
        """The mark at a moment and where it is from."""
        place = bisect_right([q[0] for q in self.quotes], ns) - 1
        if place >= 0 and ns < self.quotes[place][1]:
            return self.quotes[place][2], "best_quote"
        place = bisect_right([p[0] for p in self.prints], ns) - 1
        if place >= 0 and ns - self.prints[place][0] < 5 * MINUTE:
            return self.prints[place][1], "last_trade"
        place = bisect_right([c[0] for c in self.closes], ns) - 1
        if place >= 0:
            return self.closes[place][1], "previous_close"
        return None, "last_fill"

    @property
    def hours(self) -> set[int]:
        """UTC hours in which the instrument is quoted or traded."""
        found = {ns // HOUR for ns, _ in self.prints}
        for first, until, _ in self.quotes:
            found |= set(range(first // HOUR, (until - 1) // HOUR + 1))
        return found


@dataclass(frozen=True)
class Worth:
    """A position at a moment. `order` as of its fill; marks come last."""

    ns: int
    order: int
    state: State
    mark: Fraction
    source: str

    @property
    def value(self) -> Fraction:
        """What it would fetch, negative when short."""
        assert self.state.fill is not None
        return self.state.quantity * self.mark * self.state.fill.multiplier

    @property
    def total(self) -> Fraction:
        """P&L since the beginning."""
        return self.state.cash + self.value


def worths(
    states: Mapping[Key, Sequence[State]], marks: Mapping[str, Marks]
) -> dict[Key, list[Worth]]:
    """Each position at each fill, and while it is open at the end of every fifth minute of the
    hours in which its instrument is quoted or traded."""
    found = {}
    for (trader, instrument), chain in states.items():
        rows = []
        fill_ns = [s.fill.ns for s in chain if s.fill]
        points = [(s.fill.ns, s.fill.order, s) for s in chain if s.fill]
        for hour in marks[instrument].hours:
            for minute in range(5, 61, 5):
                ns = hour * HOUR + minute * MINUTE - 1
                place = bisect_right(fill_ns, ns) - 1
                if place >= 0 and chain[place].quantity:
                    points.append((ns, 2**31 - 1, chain[place]))
        for ns, order, state in sorted(points, key=lambda p: p[:2]):
            assert state.fill is not None
            mark, source = marks[instrument].at(ns)
            rows.append(Worth(ns, order, state, state.fill.price if mark is None else mark, source))
        found[trader, instrument] = rows
    return found


@dataclass(frozen=True)
class Book:
    """A trader at a moment."""

    ns: int
    gross: Fraction
    net: Fraction
    total: Fraction
    daily: Fraction


def books(
    by_key: Mapping[Key, Sequence[Worth]], zone: str = "America/New_York"
) -> dict[str, list[Book]]:
    """Each trader over the latest state of each position, whenever one changed. The P&L of a day is
    the total less the total when the day began in `zone`."""
    events: dict[str, list[tuple[int, int, str, Worth]]] = defaultdict(list)
    for (trader, instrument), rows in by_key.items():
        events[trader] += [(w.ns, w.order, instrument, w) for w in rows]
    found: dict[str, list[Book]] = {}
    for trader, rows in events.items():
        latest: dict[str, Worth] = {}
        chain: list[Book] = []
        opening, today, last = Fraction(0), date.min, Fraction(0)
        for ns, _, instrument, worth in sorted(rows, key=lambda e: e[:3]):
            day = datetime.fromtimestamp(ns // SECOND, UTC).astimezone(ZoneInfo(zone)).date()
            if day != today:
                opening, today = last, day
            latest[instrument] = worth
            values = [w.value for w in latest.values()]
            last = sum((w.total for w in latest.values()), Fraction(0))
            gross = sum((abs(v) for v in values), Fraction(0))
            book = Book(ns, gross, sum(values, Fraction(0)), last, last - opening)
            if chain and chain[-1].ns == ns:
                chain.pop()
            chain.append(book)
        found[trader] = chain
    return found


def transitions(name: str, values: Iterable[tuple[int, Fraction]]) -> list[tuple[int, str, str]]:
    """(ns, from, to) of a limit: worse at once, better only 5 % within what was broken."""
    warn, breach = LIMITS[name]
    sign = 1 if breach > 0 else -1
    found, state = [], "OK"
    for ns, value in values:
        loss = value * sign
        is_breach = loss > breach * sign or (
            state == "BREACH" and loss > breach * sign * Fraction(95, 100)
        )
        is_warn = loss > warn * sign or (state != "OK" and loss > warn * sign * Fraction(95, 100))
        new = "BREACH" if is_breach else "WARN" if is_warn else "OK"
        if new != state:
            found.append((ns, state, new))
            state = new
    return found
