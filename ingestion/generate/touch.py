"""How near to the market an order may stand, at every moment of a future's day.

The mid of each future is a geometric walk in cells of 0.1 s; the tick below it is the highest bid
and the next one the lowest offer that may rest. An order that is gone before its price is passed
can never be crossed by another, so finding that moment for many orders at once is all that an
honest book needs.

Offers are held as negative ticks: on either side an order may then stand at the touch or below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from ingestion.generate.clock import Floats, Ints, diurnal
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.prices import TRADING_DAYS
from ingestion.generate.universe import UNIT

CELL_US = 100_000
_CELL_BITS = 20


@dataclass(frozen=True)
class Ladder:
    """One side of one book. `touch` (cells,) is the signed tick of the moment's best price.

    `falls` and `rises` are sorted keys of (tick, cell): in that cell the touch went below, or came
    back to, that tick. `lowest` (cells,) is the least touch from each cell to the close.
    """

    touch: Ints
    falls: Ints
    rises: Ints
    lowest: Ints

    def passed(self, level: Ints, cell: Ints) -> Ints:
        """First cell after `cell` whose touch is below `level`; the number of cells if none is."""
        key = (level << _CELL_BITS) + cell
        found = np.searchsorted(self.falls, key, side="right")
        after = np.append(self.falls, -1)[found]
        never = (after >> _CELL_BITS) != level
        return np.where(never | (found == len(self.falls)), len(self.touch), _cell_of(after))

    def open_since(self, level: Ints, cell: Ints) -> Ints:
        """First cell of the unbroken time up to `cell` in which the touch was never below."""
        key = (level << _CELL_BITS) + cell
        found = np.searchsorted(self.rises, key, side="right") - 1
        before = np.append(self.rises, -1)[found]
        always = (before >> _CELL_BITS) != level
        return np.where(always | (found < 0), 0, _cell_of(before))


@dataclass(frozen=True)
class Books:
    """Both sides of every future; book 2 * n holds the offers, 2 * n + 1 the bids of the n-th."""

    ladders: tuple[Ladder, ...]

    def touch(self, book: Ints, cell: Ints) -> Ints:
        """Signed tick of the best price that may rest in `cell`, elementwise."""
        return self._each(book, lambda ladder, mine: ladder.touch[cell[mine]])

    def lowest(self, book: Ints, cell: Ints) -> Ints:
        """The least touch from `cell` to the close: what stands there is never passed."""
        return self._each(book, lambda ladder, mine: ladder.lowest[cell[mine]])

    def passed(self, book: Ints, level: Ints, cell: Ints) -> Ints:
        """`Ladder.passed`, elementwise."""
        return self._each(book, lambda ladder, mine: ladder.passed(level[mine], cell[mine]))

    def open_since(self, book: Ints, level: Ints, cell: Ints) -> Ints:
        """`Ladder.open_since`, elementwise."""
        return self._each(book, lambda ladder, mine: ladder.open_since(level[mine], cell[mine]))

    def _each(self, book: Ints, look: Callable[[Ladder, Ints], Ints]) -> Ints:
        found = np.empty(len(book), dtype=np.int64)
        for number, ladder in enumerate(self.ladders):
            mine = np.flatnonzero(book == number)
            found[mine] = look(ladder, mine)
        return found


def books(plan: Plan, day: date) -> Books:
    """The books of the plan's futures on one day, in the order of the settings."""
    bids = _best_bids(plan, day)
    return Books(tuple(_ladder(side) for bid in bids for side in (-(bid + 1), bid)))


def _ladder(touch: Ints) -> Ladder:
    before, after = touch[:-1], touch[1:]
    lowest = np.minimum.accumulate(touch[::-1])[::-1]
    return Ladder(touch, _crossings(before, after), _crossings(after, before), lowest)


def _crossings(high: Ints, low: Ints) -> Ints:
    """Sorted keys of every tick in (low, high] of each step, and the cell the step leads to."""
    ticks = np.maximum(high - low, 0)
    step = np.repeat(np.arange(len(ticks)), ticks)
    place = np.arange(len(step)) - np.repeat(np.cumsum(ticks) - ticks, ticks)
    return np.sort(((high[step] - place) << _CELL_BITS) + step + 1)


def _cell_of(key: Ints) -> Ints:
    return key & ((1 << _CELL_BITS) - 1)


def _best_bids(plan: Plan, day: date) -> Ints:
    """(futures, cells) highest bid that may rest, in ticks; at least 1.

    dlnP as in analytics.md 23.3, with the variance of the diurnal curve. Each day is pinned to a
    return drawn ahead, so that any day can be made alone and opens where the one before closed.
    """
    futures = plan.market.futures
    opened, closed = session_us(day)
    cells = (closed - opened) // CELL_US
    sigma = np.array([future.volatility for future in futures]) / np.sqrt(TRADING_DAYS)
    daily = sigma * _shocks(plan, plan.rng("orders", "returns"), len(plan.days)).T - sigma**2 / 2
    busy = diurnal((np.arange(cells - 1) + 0.5) / (cells - 1))
    steps = _shocks(plan, plan.rng("orders", "path", day.isoformat()), cells - 1)
    steps *= np.sqrt(busy / busy.sum()) * sigma[:, None]
    missing = daily[plan.position(day)] - steps.sum(axis=1)
    steps += missing[:, None] * (busy / busy.sum())
    start = np.log([future.price for future in futures])
    start += daily[: plan.position(day)].sum(axis=0)
    moved = np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1)
    tick = np.array([tick_units(future.tick) for future in futures])
    price = np.exp(start[:, None] + moved) * UNIT
    bids: Ints = np.maximum(np.floor(price / tick[:, None]).astype(np.int64), 1)
    return bids


def tick_units(tick: float) -> int:
    """A tick in USD as units of 0.0001; the market's settings take no finer one."""
    units: int = round(tick * UNIT)
    return units


def _shocks(plan: Plan, rng: np.random.Generator, steps: int) -> Floats:
    """(futures, steps) standard normal, correlated by the sector's common factor."""
    beta = plan.market.sector_loading
    common = rng.standard_normal(steps)
    own = rng.standard_normal((len(plan.market.futures), steps))
    shocks: Floats = beta * common + np.sqrt(1 - beta**2) * own
    return shocks
