"""The paths of the mids: as wild, as joint and as restless as they are set to be."""

from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from ingestion.generate.flow import flow
from ingestion.generate.market import STOCKS, Market
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.prices import Paths, daily, paths
from ingestion.generate.universe import universe

ANNUAL = np.array([0.25, 0.30, 0.25, 0.35, 0.50, 0.40, 0.35, 0.40])  # analytics.md 23.3
DAILY = ANNUAL / np.sqrt(252)


def plan_of(days: int, trades: int = 0, **market: object) -> Plan:
    """Eight stocks and few bonds, which have no part in what is measured."""
    return Plan(
        seed=5,
        days=tuple(date(2024, 1, 1) + timedelta(days=day) for day in range(days)),
        quotes=20_000 * days,
        trades=trades,
        securities=60 * days,
        market=Market.model_validate({"active_bonds": 0, **market}),
    )


@cache
def calm() -> tuple[Plan, list[Paths]]:
    """Neither jumps nor order flow: what is left is diffusion."""
    plan = plan_of(40, jumps_per_day=0, sentiment_effect=0)
    return plan, [paths(plan, day) for day in plan.days]


def steps_of(path: Paths, seconds: int) -> np.ndarray:
    """Log returns (stocks, intervals) over intervals of some seconds."""
    moves: np.ndarray = np.diff(path.log_mid[:, ::seconds], axis=1)
    return moves


def correlation(matrix: np.ndarray) -> float:
    """Mean correlation of all pairs of rows."""
    found = np.corrcoef(matrix)
    return float(found[np.triu_indices(len(found), 1)].mean())


def test_daily_returns_have_the_volatility_and_the_correlation_that_are_set() -> None:
    returns = daily(plan_of(2_000, sentiment_effect=0)).returns
    # Five standard deviations of a variance over 2,000 days.
    assert returns.std(axis=0) / DAILY == pytest.approx(np.ones(8), abs=5 / np.sqrt(4_000))
    assert correlation(returns.T) == pytest.approx(0.85**2, abs=0.03)


def test_a_day_opens_where_the_one_before_closed_and_returns_what_was_drawn_for_it() -> None:
    plan, made = calm()
    assert np.exp(made[0].log_mid[:, 0]) == pytest.approx(
        np.array([175, 140, 350, 140, 250, 450, 320, 450])
    )
    for before, after in pairwise(made):
        assert after.log_mid[:, 0] == pytest.approx(before.log_mid[:, -1], abs=1e-9)
    drawn = np.array([path.log_mid[:, -1] - path.log_mid[:, 0] for path in made])
    assert drawn == pytest.approx(daily(plan).returns, abs=1e-9)


def test_a_path_has_a_value_for_each_second_of_the_session() -> None:
    plan, made = calm()
    opened, closed = session_us(plan.days[0])
    assert (closed - opened) // 1_000_000 == 23_400
    assert made[0].log_mid.shape == made[0].moved.shape == (8, 23_401)
    assert made[0].opened_us == opened


def test_the_mid_between_two_seconds_lies_between_theirs() -> None:
    plan, made = calm()
    opened, _ = session_us(plan.days[0])
    at = opened + np.array([0, 10_000_000, 10_250_000, 23_400_000_000])
    ends = made[0].log_mid[3, [0, 10, 11, -1]]
    expected = np.exp([ends[0], ends[1], 0.75 * ends[1] + 0.25 * ends[2], ends[3]])
    assert made[0].mid(np.full(4, 3), at) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seconds", [1, 60, 300])
def test_realized_variance_is_the_configured_one_at_every_width(seconds: int) -> None:
    _, made = calm()
    realized = np.mean([(steps_of(path, seconds) ** 2).sum(axis=1) for path in made], axis=0)
    # The volatility of volatility alone makes a day's variance scatter by a fifth.
    assert realized / DAILY**2 == pytest.approx(np.ones(8), abs=0.15)
    assert np.mean(realized / DAILY**2) == pytest.approx(1, abs=0.05)


def test_jumps_come_every_other_day_and_measure_one_percent() -> None:
    # Hardly any diffusion beside them: many days of a market that is calm but for its jumps.
    plan = plan_of(120, volatility_of_volatility=0, sentiment_effect=0)
    moves = np.concatenate([steps_of(paths(plan, day), 1) for day in plan.days], axis=1)
    large = np.abs(moves) > 0.003  # ten times what a second of the wildest stock moves
    assert DAILY.max() / np.sqrt(23_400) < 0.003 / 10
    seen = 0.5 * 120 * 8 * 2 * (1 - NormalDist(0, 0.01).cdf(0.003))
    assert large.sum() == pytest.approx(seen, abs=5 * np.sqrt(seen))
    # The second moment of what lies beyond 0.3 of a standard deviation.
    beyond = 0.3 * NormalDist().pdf(0.3) / (1 - NormalDist().cdf(0.3)) + 1
    assert (moves[large] ** 2).mean() == pytest.approx(1e-4 * beyond, rel=5 * np.sqrt(2 / seen))


def test_jumps_are_a_part_of_the_configured_volatility() -> None:
    plan = plan_of(120, volatility_of_volatility=0, sentiment_effect=0)
    realized = [(steps_of(paths(plan, day), 1) ** 2).sum(axis=1) for day in plan.days]
    # Jumps are up to a fifth of the variance; their squares scatter by sqrt(5) of that a day.
    assert np.mean(np.array(realized) / DAILY**2) == pytest.approx(1, abs=5 * 0.25 / np.sqrt(960))


def test_jumps_of_calm_bonds_are_smaller() -> None:
    plan = Plan(quotes=40_000, trades=0, securities=200, market=Market(jumps_per_day=20))
    bonds = universe(plan).column("volatility")[8:]
    assert bonds.max() <= 0.12
    moves = np.concatenate([np.diff(paths(plan, day).log_mid[8:], axis=1) for day in plan.days])
    # 20 of 23,400 seconds have a jump; 1 % x 12 / 25, and none beyond six of that.
    assert 0.01 < np.abs(moves).max() < 6 * 0.01 * 0.12 / 0.25


def test_variance_follows_the_diurnal_curve() -> None:
    plan = plan_of(40, jumps_per_day=0, volatility_of_volatility=0, sentiment_effect=0)
    squares = np.zeros(390)
    for day in plan.days:
        steps = steps_of(paths(plan, day), 1) / DAILY[:, None]
        squares += (steps**2).reshape(8, 390, 60).sum(axis=(0, 2))
    u = (np.arange(390) + 0.5) / 390
    expected = (0.6 + 1.6 * (2 * u - 1) ** 2) / 1.13333
    found = squares / (8 * 40) * 390
    # 8 stocks, 40 days, 60 seconds; correlated within the sector by 0.7225.
    error = np.sqrt(2 / (8 * 40 * 60) * (1 + 7 * 0.7225**2))
    assert np.abs(found / expected - 1).max() < 5 * error
    assert found.mean() == pytest.approx(1, abs=error)


def test_log_volatility_is_an_ou_process_of_half_life_30_minutes_and_scatter_0_3() -> None:
    _, made = calm()
    u = (np.arange(390) + 0.5) / 390
    curve = np.sqrt((0.6 + 1.6 * (2 * u - 1) ** 2) / 1.13333)
    level = np.log(np.concatenate([path.local for path in made]) / curve)
    level -= level.mean()
    assert level.std() == pytest.approx(0.3, abs=0.02)
    for lag in (30, 60):
        products = (level[:, lag:] * level[:, :-lag]).mean()
        assert products / level.var() == pytest.approx(0.5 ** (lag / 30), abs=0.06)


def test_five_minute_returns_of_a_sector_are_correlated() -> None:
    _, made = calm()
    pooled = np.concatenate([steps_of(path, 300) for path in made], axis=1)
    # beta^2, less because volatilities go their own ways: E[v]^2 / E[v^2] = exp(-0.3^2).
    assert correlation(pooled) == pytest.approx(0.85**2 * np.exp(-(0.3**2)), abs=0.03)
    loose = plan_of(10, jumps_per_day=0, sector_loading=0)
    pooled = np.concatenate([steps_of(paths(loose, day), 300) for day in loose.days], axis=1)
    assert correlation(pooled) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("impact", "expected"), [(0.0, 0.0), (0.1, 1.0)])
def test_an_order_moves_the_mid_by_a_tenth_of_the_spread_and_for_good(
    impact: float, expected: float
) -> None:
    plan = plan_of(20, trades=40_000, jumps_per_day=0, impact=impact)
    x, y = [], []
    for day in plan.days:
        orders, path = flow(plan, day), paths(plan, day)
        minute = (orders.event_us - session_us(day)[0]) // 60_000_000
        signed = np.where(orders.buy, 1, -1) * np.sqrt(orders.size)
        spread = np.sqrt(5 * 10) / 1e4 * np.sqrt(path.local[orders.active, minute])
        pushed = np.zeros((8, 390))
        np.add.at(pushed, (orders.active, minute), 0.1 * spread * signed)
        x.append(pushed / DAILY[:, None])
        y.append(steps_of(path, 60) / DAILY[:, None])
    slope, error = regression(np.concatenate(x).ravel(), np.concatenate(y).ravel())
    assert slope == pytest.approx(expected, abs=5 * error)
    assert error < 0.15


def regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of y on x and its standard error."""
    x, y = x - x.mean(), y - y.mean()
    slope = (x * y).sum() / (x**2).sum()
    rest = y - slope * x
    return float(slope), float(np.sqrt((rest**2).mean() / (x**2).sum()))


def test_however_many_orders_there_are_a_day_is_as_wild_as_configured() -> None:
    plan = plan_of(10, trades=600_000, jumps_per_day=0, impact=0.5, sentiment_effect=0)
    realized = [(steps_of(paths(plan, day), 60) ** 2).sum(axis=1) for day in plan.days]
    assert np.mean(np.array(realized) / DAILY**2) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("effect", [0.0, 2.0])
def test_the_day_after_a_high_sentiment_is_wilder_by_the_configured_effect(effect: float) -> None:
    plan = plan_of(60, jumps_per_day=0, sentiment_effect=effect)
    realized = np.array([(steps_of(paths(plan, day), 60) ** 2).sum(axis=1) for day in plan.days])
    wildness = np.log(np.sqrt(realized) / DAILY)
    slope, error = regression(daily(plan).sentiment[:-1].ravel(), wildness[1:].ravel())
    assert slope == pytest.approx(effect, abs=5 * error)
    assert error < 0.05


def test_sentiment_leans_on_the_return_of_its_own_day() -> None:
    settled = daily(plan_of(1_000, sentiment_effect=0))
    assert np.abs(settled.sentiment).max() <= 1
    slope, error = regression((settled.returns / DAILY).ravel(), settled.sentiment.ravel())
    assert slope == pytest.approx(0.2, abs=5 * error)  # sentiment = 0.2 r / sigma + noise


def test_other_days_do_not_change_a_day_and_another_seed_does() -> None:
    plan = plan_of(3, trades=3_000)
    last = paths(plan, plan.days[2]).log_mid
    for made in (daily, paths, flow, universe):
        made.cache_clear()
    assert (paths(plan, plan.days[2]).log_mid == last).all()
    other = Plan(seed=6, days=plan.days, quotes=plan.quotes, securities=180, market=plan.market)
    assert not (paths(other, plan.days[2]).log_mid == last).any(axis=1).all()


def test_a_market_of_one_stock_has_a_path() -> None:
    plan = Plan(quotes=2, trades=2, securities=100, market=Market(stocks=STOCKS[:1]))
    assert paths(plan, plan.days[1]).log_mid.shape == (1, 23_401)
