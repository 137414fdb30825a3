"""A day of order books: every order from its addition to its end, and the trades in between.

Trades come first (Hawkes arrivals, signs and sizes of analytics.md 23.3), each at the touch of its
moment; then the orders that they execute, then all others. Every order ends before the touch passes
its price, so no later order can cross it. A trade (T) changes nothing: the cancellation (C) or the
reduction (M) of the order it executed follows it at once (analytics.md 10, 23.1).
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ingestion.generate.clock import Bools, Floats, Ints, diurnal_moments
from ingestion.generate.flow import BLOCK_TIMES, hawkes
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.touch import CELL_US, Books, books
from ingestion.generate.universe import ZIPF_EXPONENT, Universe, listed_instruments

Kinds = npt.NDArray[np.int8]

# In the order of messages that share a microsecond: an order is added before it trades.
TYPES = ("A", "T", "M", "C")
ADD, TRADE = 0, 1

ADD_SHARE = 0.52  # of additions and cancellations; what is not cancelled rests at the close
PARTIAL_SHARE = 0.4  # of the trades, which leave something of the order they execute
REPRICED_SHARE = 0.25  # of the modifications that no trade causes
MOST_REPRICED = 5  # ticks, away from the touch
MEDIAN_LOTS = 3.0
# Limit prices fall off from the touch as a power law (Bouchaud, Mezard and Potters 2002).
DISTANCE_EXPONENT, DISTANCE_TICKS, MOST_DISTANCE = 1.5, 2.0, 200
RESTING_ORDERS = 100  # that a book would hold if the market stood still
LIFE_SIGMA = 2.0  # of the lognormal time that an order is left alone
HASTE = 3  # how early in its level's time an order is added that will trade


@dataclass(frozen=True)
class Counts:
    """Messages of one day by type. Adds are never fewer than cancels; those over rest at last."""

    adds: int
    trades: int
    modifies: int
    cancels: int

    @property
    def staying(self) -> int:
        """Orders that still rest at the close."""
        return self.adds - self.cancels

    @property
    def partial(self) -> int:
        """Trades that leave something of the resting order, whose reduction is a modification."""
        return min(round(PARTIAL_SHARE * self.trades), self.modifies)


@dataclass(frozen=True)
class Messages:
    """Messages of a day, all of one type before those of the next; arrays of one length.

    `order` numbers the order from 0, `at_us` counts from the open, `level` is the price in ticks,
    negative for offers (touch.py), `kind` an index of TYPES. `book_of` has one entry an order.
    """

    order: Ints
    at_us: Ints
    level: Ints
    quantity: Ints
    kind: Kinds
    book_of: Ints


@dataclass(frozen=True)
class _Trades:
    """Executions: book of the resting order, us since the open, contracts.

    `partial` says which of them leave something of that order.
    """

    book: Ints
    at_us: Ints
    quantity: Ints
    partial: Bools


@dataclass(frozen=True)
class _Orders:
    """The day's orders as they were added: those that trade, then those that stay, then the rest.

    Times are us since the open; an order that stays ends at the close.
    """

    book: Ints
    added_us: Ints
    ended_us: Ints
    level: Ints
    size: Ints


def counts_of_day(plan: Plan, day: date) -> Counts:
    """How many messages of each type fall on `day`: the plan's shares of the total, rounded."""
    total, market = plan.share_of(plan.orders, day), plan.market
    modifies = round(market.order_modify_share * total)
    # An execution needs an order to be added and taken away, for which a handful has no room.
    trades = min(round(market.order_trade_share * total), (total - modifies) // 3)
    rest = total - trades - modifies
    cancels = max(rest - round(ADD_SHARE * rest), trades)
    return Counts(rest - cancels, trades, modifies, cancels)


def message_day(plan: Plan, day: date) -> Messages:
    """All messages of the day. Raises ValueError where the market has no futures."""
    if not plan.market.futures:
        raise ValueError("plan: orders are those of futures, and the market has none; name some")
    counts, market = counts_of_day(plan, day), books(plan, day)
    opened, closed = session_us(day)
    rng = plan.rng("orders", day.isoformat())
    trades = _trades(plan, rng, counts, closed - opened)
    orders = _orders(plan, rng, market, counts, trades, closed - opened)
    return _messages(rng, counts, orders, trades)


def _trades(plan: Plan, rng: np.random.Generator, counts: Counts, length_us: int) -> _Trades:
    count = counts.trades
    future, at_us = hawkes(plan, rng, _futures(plan), count, 0, length_us)
    turned = rng.random(count) >= plan.market.same_sign
    size = rng.lognormal(0.0, 1.0, count)
    block = rng.random(count) < plan.market.block_share
    size = np.where(block, size * rng.integers(*BLOCK_TIMES, count), size)
    partial = np.zeros(count, dtype=bool)
    partial[rng.choice(count, counts.partial, replace=False)] = True
    return _Trades(2 * future + np.cumsum(turned) % 2, at_us, _lots(size), partial)


@lru_cache(maxsize=4)
def _futures(plan: Plan) -> Universe:
    """The futures alone, as instruments that trade."""
    weights = np.arange(1, len(plan.market.futures) + 1, dtype=np.float64) ** -ZIPF_EXPONENT
    frame = listed_instruments(plan)
    rows = np.flatnonzero((frame["kind"] == "future").to_numpy())
    return Universe(frame, rows, weights / weights.sum(), stocks=0)


def _orders(
    plan: Plan,
    rng: np.random.Generator,
    market: Books,
    counts: Counts,
    trades: _Trades,
    length_us: int,
) -> _Orders:
    others, staying = counts.adds - counts.trades, slice(counts.staying)
    weights = np.repeat(_futures(plan).weights / 2, 2)
    book = rng.choice(len(weights), others, p=weights)
    added = (diurnal_moments(rng, others) * length_us).astype(np.int64)
    cell = added // CELL_US
    nearest = market.touch(book, cell)
    nearest[staying] = market.lowest(book[staying], cell[staying])
    level = _away(nearest, _distances(rng, others))
    mean_life = RESTING_ORDERS * length_us * len(plan.market.futures) / counts.adds
    life = _lives(rng, others, mean_life)
    ended = _ended(rng, market, (book, level, added), life, length_us)
    ended[staying] = length_us
    size = _lots(rng.lognormal(0.0, 1.0, others))
    traded = _executed(rng, market, trades, _lives(rng, counts.trades, mean_life), length_us)
    return _Orders(
        np.r_[traded.book, book],
        np.r_[traded.added_us, added],
        np.r_[traded.ended_us, ended],
        np.r_[traded.level, level],
        np.r_[traded.size, size],
    )


def _executed(
    rng: np.random.Generator, market: Books, trades: _Trades, life: Floats, length_us: int
) -> _Orders:
    """The order that each trade executes: at the touch, and soon there, as the first is served."""
    level = market.touch(trades.book, trades.at_us // CELL_US)
    since = market.open_since(trades.book, level, trades.at_us // CELL_US) * CELL_US
    waited = (trades.at_us - since) * rng.random(len(level)) ** HASTE
    left = _lots(rng.lognormal(0.0, 1.0, len(level)))
    ended = _ended(rng, market, (trades.book, level, trades.at_us), life, length_us)
    return _Orders(
        trades.book,
        since + waited.astype(np.int64),
        np.where(trades.partial, ended, trades.at_us),
        level,
        trades.quantity + np.where(trades.partial, left, 0),
    )


def _ended(
    rng: np.random.Generator,
    market: Books,
    resting: tuple[Ints, Ints, Ints],
    life: Floats,
    length_us: int,
) -> Ints:
    """When orders (book, level, us from which they rest) are cancelled.

    After their life (us), or within a cell before the touch passes them or the market closes.
    """
    book, level, since = resting
    passed = market.passed(book, level, since // CELL_US) * CELL_US
    last = np.minimum(passed, length_us) - 1
    hurried = last - (np.minimum(last - since, CELL_US) * rng.random(len(since))).astype(np.int64)
    return np.where(life < last - since, since + life.astype(np.int64), hurried)


def _messages(
    rng: np.random.Generator, counts: Counts, orders: _Orders, trades: _Trades
) -> Messages:
    """Additions, trades, modifications, and cancellations of whatever is left by then."""
    every, traded = np.arange(counts.adds), np.arange(counts.trades)
    reduced = traded[trades.partial]
    others = counts.adds - counts.trades
    changed = counts.trades + rng.choice(others, counts.modifies - counts.partial, replace=False)
    cancelled = np.r_[traded, every[counts.trades + counts.staying :]]
    level, size = orders.level.copy(), orders.size.copy()
    size[reduced] -= trades.quantity[reduced]
    level[changed], size[changed] = _changes(rng, level[changed], size[changed])
    rested = orders.ended_us[changed] - orders.added_us[changed]
    changed_us = orders.added_us[changed] + (rested * rng.random(len(changed))).astype(np.int64)
    modified = np.r_[reduced, changed]
    length = (len(every), len(traded), len(modified), len(cancelled))
    return Messages(
        np.r_[every, traded, modified, cancelled],
        np.r_[
            orders.added_us,
            trades.at_us,
            trades.at_us[reduced],
            changed_us,
            orders.ended_us[cancelled],
        ],
        np.r_[orders.level, level[traded], level[modified], level[cancelled]],
        np.r_[orders.size, trades.quantity, size[modified], size[cancelled]],
        np.repeat(np.arange(len(TYPES), dtype=np.int8), length),
        orders.book,
    )


def _changes(rng: np.random.Generator, level: Ints, size: Ints) -> tuple[Ints, Ints]:
    """Some move away from the touch, others shrink; both leave every other order uncrossed."""
    count = len(level)
    moves = (size == 1) | (rng.random(count) < REPRICED_SHARE)
    moved = _away(level, rng.integers(1, MOST_REPRICED + 1, count))
    less = 1 + (rng.random(count) * (size - 1)).astype(np.int64)
    return np.where(moves, moved, level), np.where(moves, size, less)


def _away(level: Ints, ticks: Ints) -> Ints:
    """`ticks` further from the touch; a bid stays above zero."""
    return np.where(level > 0, np.maximum(level - ticks, 1), level - ticks)


def _distances(rng: np.random.Generator, count: int) -> Ints:
    away = np.minimum(rng.pareto(DISTANCE_EXPONENT, count) * DISTANCE_TICKS, MOST_DISTANCE)
    return away.astype(np.int64)


def _lives(rng: np.random.Generator, count: int, mean_us: float) -> Floats:
    """How long orders are left alone, us."""
    return rng.lognormal(np.log(mean_us) - LIFE_SIGMA**2 / 2, LIFE_SIGMA, count)


def _lots(size: Floats) -> Ints:
    """Contracts: at least one."""
    return np.maximum(np.rint(size * MEDIAN_LOTS), 1).astype(np.int64)
