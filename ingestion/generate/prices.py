"""Where the mid of each instrument is at every moment (analytics.md 23.3).

dlnP = -1/2 sigma^2 dt + sigma_t (beta dM + sqrt(1 - beta^2) de) + jumps + the impact of the order
flow; ln sigma_t is an OU process, the variance follows the diurnal curve. Jumps and impact are a
part of the configured annual volatility, not on top of it. Each day is pinned to a return
drawn ahead, so that any day can be made alone and opens where the day before closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from ingestion.generate import scenarios
from ingestion.generate.clock import SECOND_US, Floats, Ints, diurnal
from ingestion.generate.flow import flow
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import Universe, universe

TRADING_DAYS = 252
MINUTE = 60
CALM_VOLATILITY = 0.25  # below it jumps are smaller than configured
SENTIMENT_NOISE = 0.3
# Of a day's variance; a busy market's impact would otherwise exceed the configured volatility.
MOST_IMPACT = 0.2
LEAST_DIFFUSION = 0.3  # of a day's variance, however many jumps there are
BLOCK_INSTRUMENTS = 16  # paths made at a time


@dataclass(frozen=True)
class Daily:
    """What is settled of each day before its path is drawn; arrays (days, instruments).

    `returns`: log return of the active instruments, open to close. `sentiment`: tone in [-1, 1] of
    the day's posts about each stock. `volatility`: factor on each active one's volatility.
    """

    returns: Floats
    sentiment: Floats
    volatility: Floats


@dataclass(frozen=True)
class Paths:
    """Log mid of the active instruments (instruments, seconds + 1), and its variance clock.

    `moved` (instruments, seconds + 1) grows from 0 with every absolute move: time as a dealer
    feels it. `local` (instruments, minutes) is the volatility of the moment over its mean.
    """

    opened_us: int
    log_mid: Floats
    moved: Floats
    local: Floats

    def mid(self, active: Ints, event_us: Ints) -> Floats:
        """Mid price in USD of active instruments at moments in the session, elementwise."""
        return np.exp(self._between(self.log_mid, active, event_us))

    def _between(self, grid: Floats, active: Ints, event_us: Ints) -> Floats:
        elapsed = event_us - self.opened_us
        second = np.minimum(elapsed // SECOND_US, grid.shape[1] - 2)
        rest = elapsed - second * SECOND_US
        before, after = grid[active, second], grid[active, second + 1]
        between: Floats = before + (after - before) * (rest / SECOND_US)
        return between


@lru_cache(maxsize=4)
def daily(plan: Plan) -> Daily:
    """Returns, sentiment and volatility of every day of the plan."""
    known = universe(plan)
    sigma = _daily_sigma(known)
    shape = (len(plan.days), len(sigma))
    rng = plan.rng("returns")
    common = rng.standard_normal((shape[0], _sectors(known).max() + 1))[:, _sectors(known)]
    beta = plan.market.sector_loading
    shock = beta * common + np.sqrt(1 - beta**2) * rng.standard_normal(shape)
    stock_shock = shock[:, : known.stocks]
    noise = SENTIMENT_NOISE * plan.rng("sentiment").standard_normal(stock_shock.shape)
    sentiment = np.clip(plan.market.sentiment_of_return * stock_shock + noise, -1, 1)
    volatility = np.ones(shape)
    volatility[1:, : known.stocks] = np.exp(plan.market.sentiment_effect * sentiment[:-1])
    returns = volatility * sigma * shock - (volatility * sigma) ** 2 / 2
    return Daily(returns, sentiment, volatility)


@lru_cache(maxsize=2)
def paths(plan: Plan, day: date) -> Paths:
    """The day's paths of all active instruments."""
    known, settled, position = universe(plan), daily(plan), plan.position(day)
    opened, closed = session_us(day)
    seconds = (closed - opened) // SECOND_US
    sigma = _daily_sigma(known) * settled.volatility[position]
    rng = plan.rng("path", day.isoformat())
    local = _local_volatility(plan, rng, day, len(sigma), seconds // MINUTE)
    impact = _impact(plan, day, known, sigma, local)
    variance = plan.market.jumps_per_day * _jump_sizes(plan, known) ** 2 + (impact**2).sum(axis=1)
    exogenous = np.sqrt(np.maximum(1 - variance / sigma**2, LEAST_DIFFUSION))
    log_mid = np.empty((len(sigma), seconds + 1))
    # Steps stand where the path will be: of arrays this large there is room for two.
    steps = log_mid[:, 1:]
    _fill_with_shocks(plan, rng, known, steps)
    for block in _blocks(len(sigma)):
        steps[block] *= np.repeat(local[block], MINUTE, axis=1)
        steps[block] *= (sigma[block] * exogenous[block] / np.sqrt(seconds))[:, None]
        steps[block] += np.repeat(impact[block] / MINUTE, MINUTE, axis=1)
    _add_jumps(plan, rng, day, steps, _jump_sizes(plan, known))
    moved = np.empty_like(log_mid)
    start = np.log(known.column("price")) + settled.returns[:position].sum(axis=0)
    for block in _blocks(len(sigma)):
        _pin(steps[block], settled.returns[position, block], local[block])
        _sum_up(np.abs(steps[block]), np.zeros(1), moved[block])
        _sum_up(steps[block], start[block], log_mid[block])
    return Paths(opened, log_mid, moved, local)


def _daily_sigma(known: Universe) -> Floats:
    sigma: Floats = known.column("volatility") / np.sqrt(TRADING_DAYS)
    return sigma


def _sectors(known: Universe) -> Ints:
    """Number of each active instrument's sector: its segment."""
    _, sector = np.unique(known.column("segment"), return_inverse=True)
    return sector


def _local_volatility(
    plan: Plan, rng: np.random.Generator, day: date, instruments: int, minutes: int
) -> Floats:
    """Volatility by minute over its mean: OU in logs, times the diurnal curve's root."""
    scatter = plan.market.volatility_of_volatility
    kept = 0.5 ** (1 / plan.market.volatility_half_life_minutes)
    drawn = rng.standard_normal((minutes, instruments)) * scatter
    level = np.empty_like(drawn)
    level[0] = drawn[0]
    for minute in range(1, minutes):
        level[minute] = kept * level[minute - 1] + np.sqrt(1 - kept**2) * drawn[minute]
    busy = np.sqrt(diurnal((np.arange(minutes) + 0.5) / minutes))
    # exp(x - s^2) has mean square 1.
    local: Floats = np.exp(level.T - scatter**2) * busy
    local *= scenarios.volatility_factors(plan, day, instruments, minutes)
    return local


def _fill_with_shocks(plan: Plan, rng: np.random.Generator, known: Universe, steps: Floats) -> None:
    """Standard normal shocks (instruments, seconds), correlated within each sector."""
    sector, beta, seconds = _sectors(known), plan.market.sector_loading, steps.shape[1]
    common = rng.standard_normal((sector.max() + 1, seconds), dtype=np.float32)
    for block in _blocks(len(sector)):
        mine = sector[block]
        own = rng.standard_normal((len(mine), seconds), dtype=np.float32)
        steps[block] = beta * common[mine] + np.sqrt(1 - beta**2) * own


def _blocks(instruments: int) -> Iterator[slice]:
    for first in range(0, instruments, BLOCK_INSTRUMENTS):
        yield slice(first, min(first + BLOCK_INSTRUMENTS, instruments))


def _impact(plan: Plan, day: date, known: Universe, sigma: Floats, local: Floats) -> Floats:
    """Permanent impact of the order flow, log return per instrument and minute.

    impact x spread x sign x sqrt(size / median), less where that alone would make the market
    wilder than it is configured to be.
    """
    orders = flow(plan, day)
    opened, _ = session_us(day)
    spread = np.sqrt(known.column("spread_low") * known.column("spread_high")) / 1e4
    moves = plan.market.impact * spread[orders.active] * np.sqrt(orders.size)
    minute = (orders.event_us - opened) // (MINUTE * SECOND_US)
    minutes = local.shape[1]
    moves *= np.sqrt(local[orders.active, minute])  # spreads are wider when the market is wild
    summed = np.bincount(
        orders.active * minutes + minute,
        weights=np.where(orders.buy, moves, -moves),
        minlength=len(sigma) * minutes,
    ).reshape(len(sigma), minutes)
    variance = (summed**2).sum(axis=1)
    allowed = MOST_IMPACT * sigma**2
    scale = np.sqrt(np.minimum(1.0, allowed / np.maximum(variance, 1e-30)))
    limited: Floats = summed * scale[:, None]
    return limited


def _jump_sizes(plan: Plan, known: Universe) -> Floats:
    """Standard deviation of each instrument's jumps, log return: a calm one's are smaller."""
    sizes: Floats = plan.market.jump_size * np.minimum(
        known.column("volatility") / CALM_VOLATILITY, 1.0
    )
    return sizes


def _add_jumps(
    plan: Plan, rng: np.random.Generator, day: date, steps: Floats, sizes: Floats
) -> None:
    """Poisson jumps, and those of the scenario."""
    instruments, seconds = steps.shape
    count = rng.poisson(plan.market.jumps_per_day, instruments)
    instrument = np.repeat(np.arange(instruments), count)
    jump = rng.standard_normal(len(instrument)) * sizes[instrument]
    np.add.at(steps, (instrument, rng.integers(0, seconds, len(instrument))), jump)
    for stock, second, move in scenarios.jumps(plan, day):
        steps[stock, second] += move


def _pin(steps: Floats, returns: Floats, local: Floats) -> None:
    """Make the steps of each instrument add up to its return of the day.

    What is missing is spread as the variance is: it shifts no single move.
    """
    weight = np.repeat(local**2, MINUTE, axis=1)
    missing = returns - steps.sum(axis=1)
    steps += weight * (missing / weight.sum(axis=1))[:, None]


def _sum_up(steps: Floats, start: Floats, grid: Floats) -> None:
    """(n, s) steps -> (n, s + 1) values in `grid`, the first of which is `start`."""
    grid[:, 0] = start
    np.cumsum(steps, axis=1, out=grid[:, 1:])
    grid[:, 1:] += start[:, None]
