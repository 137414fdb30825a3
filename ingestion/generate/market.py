"""When things happen and where the price is: the session's clock and the mid of each instrument."""

from datetime import date

import numpy as np
import numpy.typing as npt

from ingestion.generate.plan import Plan
from ingestion.generate.universe import Universe

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TRADING_DAYS = 252
ARRIVAL_MS = (1.0, 200.0)
_GRID = np.linspace(0.0, 1.0, 4001)
# Integral of d(u) = (0.6 + 1.6 (2u - 1)^2) / 1.13333, analytics.md 23.3.
_CUMULATIVE = 0.6 * _GRID + 1.6 / 6 * ((2 * _GRID - 1) ** 3 + 1)
_CUMULATIVE /= _CUMULATIVE[-1]


def diurnal(rng: np.random.Generator, count: int) -> Floats:
    """`count` moments u in [0, 1) of the session, busiest at its open and its close."""
    u: Floats = np.interp(rng.random(count), _CUMULATIVE, _GRID)
    return u


def arrival_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Whole milliseconds from event to our edge: about 10, within 1..200."""
    delay = np.clip(rng.lognormal(np.log(10.0), 0.9, count), *ARRIVAL_MS)
    return np.ceil(delay).astype(np.int64)


def received_ms(event_us: Ints, delay_ms: Ints) -> Ints:
    """Arrival in whole milliseconds since epoch; never before the event."""
    return -(-event_us // 1000) + delay_ms


def arrival_order(recv_ms: Ints) -> Ints:
    """Stable: messages of one millisecond keep the order they were sent in."""
    return np.argsort(recv_ms, kind="stable")


def mids(plan: Plan, day: date, known: Universe, instrument: Ints, u: Floats) -> Floats:
    """The mid price of active instrument `instrument` at moment `u`, elementwise.

    A geometric walk, pinned at both ends of the session (a Brownian bridge to a return drawn
    per day): each day can be made alone, and still opens where the day before closed.
    """
    frame = known.frame[known.active]
    daily = frame["volatility"].to_numpy() / np.sqrt(TRADING_DAYS)
    returns = _daily_returns(plan, daily)
    position = plan.position(day)
    start = np.log(frame["price"].to_numpy()) + returns[:position].sum(axis=0)
    bridge = _bridge(plan.rng("walk", day.isoformat()), instrument, u, len(daily))
    log_mid = start[instrument] + u * returns[position][instrument] + daily[instrument] * bridge
    mid: Floats = np.exp(log_mid)
    return mid


def _daily_returns(plan: Plan, daily: Floats) -> Floats:
    """Log returns (days, active instruments), open to close."""
    normal = plan.rng("returns").standard_normal((len(plan.days), len(daily)))
    return daily * normal - daily**2 / 2


def _bridge(rng: np.random.Generator, instrument: Ints, u: Floats, instruments: int) -> Floats:
    """A standard Brownian bridge on [0, 1] per instrument, at the moments `u`."""
    order = np.lexsort((u, instrument))
    group, moment = instrument[order], u[order]
    first = np.ones(len(group), dtype=bool)
    first[1:] = group[1:] != group[:-1]
    previous = np.where(first, 0.0, np.roll(moment, 1))
    steps = np.sqrt(moment - previous) * rng.standard_normal(len(group))
    total = np.cumsum(steps)
    before = np.zeros(instruments)
    before[group[first]] = (total - steps)[first]
    walk = total - before[group]
    last = np.roll(first, -1)
    end = np.zeros(instruments)
    remaining = np.sqrt(1.0 - moment[last]) * rng.standard_normal(int(last.sum()))
    end[group[last]] = walk[last] + remaining
    bridge = np.empty_like(walk)
    bridge[order] = walk - moment * end[group]
    return bridge
