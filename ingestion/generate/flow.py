"""Who wants to trade what, when and how much: the order flow, before anything has a price.

Arrivals are a Hawkes process with an exponential kernel, made by its clusters: immigrants come as
the day is busy, each event has Poisson(branching) children an exponential time later.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from ingestion.generate.clock import SECOND_US, Bools, Floats, Ints, diurnal_moments
from ingestion.generate.faults import DUPLICATE, counts_of_day
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import Universe, universe

STOCK_LOT, BOND_LOT = 100, 1_000
MEDIAN_BOND_LOTS = 250
BLOCK_TIMES = (10, 51)
# Dealers need a moment to open; a message sent at the close would arrive after it.
AFTER_OPEN_US, BEFORE_CLOSE_US = 2 * SECOND_US, SECOND_US // 10


@dataclass(frozen=True)
class Flow:
    """Orders by instrument, then time. Arrays of one length.

    `active` indexes the active instruments, `event_us` is us since epoch UTC, `buy` the initiator's
    side, `quantity` shares or face value, `size` the quantity over its instrument's median.
    """

    active: Ints
    event_us: Ints
    buy: Bools
    quantity: Ints
    size: Floats


@lru_cache(maxsize=2)
def flow(plan: Plan, day: date) -> Flow:
    """The orders of one day, one for each trade that is not another's copy."""
    known = universe(plan)
    count = plan.share_of(plan.trades, day) - counts_of_day(plan, day)[DUPLICATE]
    rng = plan.rng("flow", day.isoformat())
    opened, closed = session_us(day)
    active, event_us = hawkes(
        plan, rng, known, count, opened + AFTER_OPEN_US, closed - BEFORE_CLOSE_US
    )
    # Bonds are stamped in whole milliseconds.
    event_us = np.where(active < known.stocks, event_us, event_us // 1000 * 1000)
    size = rng.lognormal(0.0, 1.0, count)
    block = rng.random(count) < plan.market.block_share
    size = np.where(block, size * rng.integers(*BLOCK_TIMES, count), size)
    stock = active < known.stocks
    lots = np.maximum(np.rint(size * np.where(stock, STOCK_LOT, MEDIAN_BOND_LOTS)), 1)
    quantity = lots.astype(np.int64) * np.where(stock, 1, BOND_LOT)
    return Flow(active, event_us, _sides(plan, rng, active), quantity, size)


def hawkes(
    plan: Plan, rng: np.random.Generator, known: Universe, count: int, start_us: int, end_us: int
) -> tuple[Ints, Ints]:
    """Exactly `count` arrivals: active instrument and time, sorted by both (analytics.md 23.3).

    Whole clusters are kept in random order until there are enough, so that taking an exact number
    does not thin them.
    """
    immigrants = int(count * (1 - plan.market.branching) * 1.1) + 32
    while True:
        cluster, active, after_us = _clusters(plan, rng, known, immigrants, end_us - start_us)
        if len(cluster) >= count:
            break
        immigrants = immigrants * 3 // 2
    kept = np.argsort(cluster, kind="stable")[:count]
    active, after_us = active[kept], after_us[kept]
    order = np.argsort((active << 40) + after_us, kind="stable")
    return active[order], start_us + after_us[order]


def _clusters(
    plan: Plan, rng: np.random.Generator, known: Universe, immigrants: int, length_us: int
) -> tuple[Ints, Ints, Ints]:
    """Cluster number, instrument and time since the start of every event within the length."""
    cluster = np.arange(immigrants)
    active = rng.choice(len(known.active), immigrants, p=known.weights)
    at = diurnal_moments(rng, immigrants) * float(length_us)
    generations = []
    while len(cluster):
        inside = at < length_us
        cluster, active, at = cluster[inside], active[inside], at[inside]
        generations.append((cluster, active, at.astype(np.int64)))
        children = rng.poisson(plan.market.branching, len(cluster))
        cluster, active = np.repeat(cluster, children), np.repeat(active, children)
        at = np.repeat(at, children)
        at += rng.exponential(SECOND_US / plan.market.decay, len(at))
    clusters, instruments, times = zip(*generations, strict=True)
    return np.concatenate(clusters), np.concatenate(instruments), np.concatenate(times)


def _sides(plan: Plan, rng: np.random.Generator, active: Ints) -> Bools:
    """Each order takes the side of the one before it in its instrument with P(same)."""
    turned = rng.random(len(active)) >= plan.market.same_sign
    first = np.ones(len(active), dtype=bool)
    first[1:] = active[1:] != active[:-1]
    turned[first] = rng.random(int(first.sum())) < 0.5
    sides: Bools = np.cumsum(turned) % 2 == 1
    return sides
