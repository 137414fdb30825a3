"""Volatility regressed on sentiment: what was put in is found, and nothing where nothing was."""

from datetime import date, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from ingestion.generate import posts
from ingestion.generate.market import Market
from ingestion.generate.plan import Plan
from ingestion.generate.prices import daily
from lake.scoring import score
from ml.sentiment_impact import (
    COLUMNS,
    POOLED,
    Floats,
    Panel,
    TooFewSessions,
    diebold_mariano,
    impacts,
)

SESSIONS = 260
BINS = 78
DAYS = tuple(
    day
    for day in (date(2024, 1, 1) + timedelta(days=number) for number in range(SESSIONS * 2))
    if day.weekday() < 5
)[:SESSIONS]


@cache
def panel(effect: float) -> Panel:
    """Generated posts, scored, and a variance that each day's tone moves by `effect` on the next.

    A day's variance is that of 78 normal returns, under a volatility with memory of its own.
    """
    plan = Plan(
        seed=11, days=DAYS, quotes=0, trades=0, securities=50 * SESSIONS, posts=30,
        market=Market(sentiment_effect=effect),
    )  # fmt: skip
    known = daily(plan)
    stocks = known.sentiment.shape[1]
    means, counts = _said(plan, stocks)
    rng = np.random.default_rng(5)
    memory = np.zeros((SESSIONS, stocks))
    for day in range(1, SESSIONS):
        memory[day] = 0.9 * memory[day - 1] + 0.15 * rng.standard_normal(stocks)
    volatility = 0.01 * np.exp(memory) * known.volatility[:, :stocks]
    variance = volatility**2 * rng.chisquare(BINS, (SESSIONS, stocks)) / BINS
    return _panel(np.log(variance), means, counts)


def _said(plan: Plan, stocks: int) -> tuple[Floats, Floats]:
    """Mean score and number of posts by calendar day and stock; of the day's own hours."""
    symbols = [known.symbol for known in plan.market.stocks]
    means, counts = np.zeros((SESSIONS, stocks)), np.zeros((SESSIONS, stocks))
    for place, day in enumerate(plan.days):
        for frame in posts.rows(plan, day):
            scores = score(pa.chunked_array([frame["text"].to_arrow()])).to_numpy()
            named = frame["tickers"].list.first().to_numpy()
            for stock, symbol in enumerate(symbols):
                own = scores[named == symbol]
                means[place, stock] = own.mean() if len(own) else np.nan
                counts[place, stock] = len(own)
    return means, counts


def _panel(ln_rv: Floats, means: Floats, counts: Floats) -> Panel:
    columns = {
        "ln_rv": ln_rv[22:],
        "rv_5m": np.exp(ln_rv[22:]),
        "ln_rv_lag_1": ln_rv[21:-1],
        "ln_rv_mean_5": np.stack([ln_rv[at - 5 : at].mean(0) for at in range(22, SESSIONS)]),
        "ln_rv_mean_22": np.stack([ln_rv[at - 22 : at].mean(0) for at in range(22, SESSIONS)]),
        "sentiment_lag_1": means[21:-1],
        "ln_posts_lag_1": np.log1p(counts[21:-1]),
    }
    rows, stocks = columns["ln_rv"].shape
    return Panel(
        np.repeat([f"S{stock}" for stock in range(stocks)], rows),
        np.tile(np.array(DAYS[22:], dtype="datetime64[D]"), stocks),
        np.column_stack([columns[name].T.ravel() for name in COLUMNS]),
    )


def test_a_strong_effect_is_found_with_its_sign() -> None:
    pooled = impacts(panel(1.0))[0]
    assert pooled.instrument == POOLED
    assert pooled.gamma_sentiment > 0
    assert pooled.t_sentiment > 5
    assert pooled.adj_r2_gain > 0.01
    assert pooled.qlike is not None and pooled.qlike_without is not None
    assert pooled.qlike < pooled.qlike_without
    assert pooled.verdict == "effect found"


def test_where_there_is_no_effect_none_is_found() -> None:
    pooled = impacts(panel(0.0))[0]
    assert abs(pooled.t_sentiment) < 3
    assert abs(pooled.adj_r2_gain) < 0.01
    assert pooled.verdict.startswith("no effect found")


def test_coefficients_are_those_of_least_squares() -> None:
    one = panel(1.0).of("S0")
    (found,) = impacts(one)
    x = np.column_stack([np.ones(len(one.values)), one.values[:, 2:]])
    beta = np.linalg.solve(x.T @ x, x.T @ one.values[:, 0])
    assert (found.gamma_sentiment, found.gamma_posts) == pytest.approx(tuple(beta[-2:]), rel=1e-6)


def test_errors_are_those_of_newey_and_west_with_five_lags() -> None:
    one = panel(1.0).of("S0")
    (found,) = impacts(one)
    x = np.column_stack([np.ones(len(one.values)), one.values[:, 2:]])
    bread = np.linalg.inv(x.T @ x)
    u = x * (one.values[:, 0] - x @ bread @ x.T @ one.values[:, 0])[:, None]
    meat = u.T @ u
    for lag in range(1, 6):
        cross = u[lag:].T @ u[:-lag]
        meat += (1 - lag / 6) * (cross + cross.T)
    error = np.sqrt(np.diag(bread @ meat @ bread))
    assert found.t_sentiment == pytest.approx(found.gamma_sentiment / error[-2], rel=1e-6)
    assert found.t_posts == pytest.approx(found.gamma_posts / error[-1], rel=1e-6)


def test_diebold_mariano_is_a_test_of_the_mean() -> None:
    difference = np.random.default_rng(1).normal(0.1, 1, 400)
    z = difference.mean() / (difference.std(ddof=1) / 20)
    assert diebold_mariano(difference) == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert diebold_mariano(np.zeros(10)) is None


def test_too_few_sessions_are_said_to_be_too_few() -> None:
    few = panel(0.0)
    with pytest.raises(TooFewSessions, match="the most that one has is 0"):
        impacts(Panel(few.instruments[:0], few.sessions[:0], few.values[:0]))
