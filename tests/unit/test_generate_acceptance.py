"""The acceptance list passes on a sound market, fails on a wrong one, and measures what it says."""

from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from statistics import fmean, pvariance
from typing import Any

import numpy as np
import pytest

from ingestion.generate.acceptance import Figure, measure
from ingestion.generate.market import Market
from ingestion.generate.plan import Plan, session_us
from tests.market_replay import STOCKS, Row, best_before, by_instrument

SPREADS = "dealer spreads within 5-50 bps, share"
SIGNS = "trade sign autocorrelation, lag 1"
FANO = "Fano factor of trades per second"
CLUSTERS = "autocorrelation of |1-min return|, lag 1"
KURTOSIS = "kurtosis of 1-min returns"
VOLUME = "volume in the first and last 30 min, share"
REALIZED = "realized over configured volatility"
SECTOR = "correlation within the sector, 5-min returns"
WITHIN = "trades within the best bid and offer, share"


def plan_of(days: int, quotes: int, trades: int, **market: object) -> Plan:
    """`quotes` and `trades` a day, most of them in stocks, which the list looks at."""
    settings = {"active_bonds": 20, "stock_share": 0.8, **market}
    return Plan(
        days=tuple(date(2025, 10, 6) + timedelta(days=day) for day in range(days)),
        quotes=quotes * days,
        trades=trades * days,
        securities=500,
        market=Market.model_validate(settings),
    )


def figures(plan: Plan) -> dict[str, Figure]:
    return {figure.name: figure for figure in measure(plan)}


@cache
def of_small() -> dict[str, Figure]:
    return figures(small())


def small(**market: object) -> Plan:
    return plan_of(2, 30_000, 15_000, **market)


def test_a_large_market_passes_every_line() -> None:
    found = figures(plan_of(5, 300_000, 150_000))
    assert [name for name, figure in found.items() if not figure.passed] == []
    assert list(found) == [
        SPREADS, SIGNS, FANO, CLUSTERS, KURTOSIS, VOLUME, REALIZED, SECTOR, WITHIN,
    ]  # fmt: skip


def test_the_bounds_are_those_of_the_specification() -> None:
    bounds = {name: (figure.low, figure.high) for name, figure in of_small().items()}
    infinite = float("inf")
    assert bounds == {
        SPREADS: (1.0, 1.0),
        SIGNS: (0.2, 0.4),
        FANO: (pytest.approx(1.5), infinite),
        CLUSTERS: (pytest.approx(0.1), infinite),
        KURTOSIS: (pytest.approx(4), infinite),
        VOLUME: (0.25, 1.0),
        REALIZED: (0.85, 1.15),
        SECTOR: (0.3, 0.7),
        WITHIN: (0.95, 1.0),
    }


def test_a_bound_that_must_be_exceeded_does_not_pass_and_neither_does_a_number_that_is_none() -> (
    None
):
    for name, strict in ((FANO, 1.5), (CLUSTERS, 0.1), (KURTOSIS, 4.0)):
        line = of_small()[name]
        assert not Figure(name, strict, line.low, line.high).passed
        assert Figure(name, strict * 1.0001, line.low, line.high).passed
        assert not Figure(name, float("nan"), line.low, line.high).passed


@pytest.mark.parametrize(
    ("line", "market"),
    [
        (SPREADS, {"stock_spread_bps": (3.0, 8.0)}),
        (SPREADS, {"stock_spread_bps": (40.0, 60.0)}),
        (SIGNS, {"same_sign": 0.5}),
        (SIGNS, {"same_sign": 0.8}),
        (FANO, {"branching": 0.0}),
        (CLUSTERS, {"jumps_per_day": 5, "volatility_of_volatility": 0}),
        (REALIZED, {"jumps_per_day": 20}),
        (SECTOR, {"sector_loading": 0.2}),
        (SECTOR, {"sector_loading": 1.0, "jumps_per_day": 0, "volatility_of_volatility": 0}),
        (WITHIN, {"touch_share": 0.8, "inside_share": 0.08}),
    ],
)
def test_a_wrong_market_fails_its_line(line: str, market: dict[str, Any]) -> None:
    assert not figures(small(**market))[line].passed


def test_only_the_line_of_the_signs_changes_with_the_signs() -> None:
    plan = {"impact": 0}  # by which signs move prices
    sound, mixed = figures(small(**plan)), figures(small(**plan, same_sign=0.5))
    assert not mixed[SIGNS].passed
    for name in (SPREADS, FANO, CLUSTERS, KURTOSIS, VOLUME, REALIZED, SECTOR):
        assert mixed[name].value == sound[name].value


def test_a_market_that_cannot_be_measured_is_refused() -> None:
    one = Market(stocks=Market().stocks[:1])
    for plan in (Plan(trades=0), Plan(quotes=100, trades=10, securities=100, market=one)):
        with pytest.raises(ValueError, match="acceptance"):
            measure(plan)


def test_progress_is_told_of_every_day() -> None:
    told: list[date] = []
    plan = plan_of(3, 2_000, 500)
    measure(plan, told.append)
    assert told == list(plan.days)


def by_stock(dataset: str, day: date) -> dict[str, list[Row]]:
    found = by_instrument(small(), dataset, day)
    return {name: found[name] for name in sorted(STOCKS)}


def test_the_signs_measured_are_those_of_consecutive_trades_of_each_stock() -> None:
    products = []
    for day in small().days:
        for trades in by_stock("trades", day).values():
            signs = [1 if trade["buySellIndicator"] == "B" else -1 for trade in trades]
            products += [before * after for before, after in pairwise(signs)]
    assert of_small()[SIGNS].value == pytest.approx(fmean(products), rel=1e-12)


def test_the_fano_factor_is_that_of_counts_in_each_second_of_the_session() -> None:
    factors = []
    for day in small().days:
        for trades in by_stock("trades", day).values():
            counts = [0] * 23_400
            for trade in trades:
                counts[(trade["us"] - session_us(day)[0]) // 1_000_000] += 1
            factors.append(pvariance(counts) / fmean(counts))
    assert of_small()[FANO].value == pytest.approx(fmean(factors), rel=1e-9)


def test_the_volume_at_the_edges_is_the_mean_of_the_stocks_shares() -> None:
    shares = []
    for day in small().days:
        for trades in by_stock("trades", day).values():
            minutes = [(trade["us"] - session_us(day)[0]) // 60_000_000 for trade in trades]
            volume = [int(trade["quantity"]) for trade in trades]
            pairs = zip(minutes, volume, strict=True)
            edge = sum(size for minute, size in pairs if minute < 30 or minute >= 360)
            shares.append(edge / sum(volume))
    assert of_small()[VOLUME].value == pytest.approx(fmean(shares), rel=1e-9)


def test_trades_within_are_those_between_the_best_quotes_strictly_before_them() -> None:
    inside = judged = 0
    for day in small().days:
        quotes = by_instrument(small(), "quotes", day)
        for name, trades in by_instrument(small(), "trades", day).items():
            best = best_before(quotes[name], [trade["us"] for trade in trades])
            for trade, sides in zip(trades, best, strict=True):
                if sides:
                    judged += 1
                    inside += sides[0] <= trade["price"] <= sides[1]
    assert judged > 20_000
    assert of_small()[WITHIN].value == pytest.approx(inside / judged, rel=1e-12)


@cache
def minute_returns() -> np.ndarray:
    """Log returns (stocks, days, 389) of the mid from one minute's end to the next."""
    returns = []
    for day in small().days:
        ends = [session_us(day)[0] + minute * 60_000_000 for minute in range(1, 391)]
        for quotes in by_stock("quotes", day).values():
            mids: list[float] = []
            for sides in best_before(quotes, ends):
                mids.append(float(sum(sides)) / 2 if sides else mids[-1])
            returns.append(np.diff(np.log(mids)))
    return np.array(returns).reshape(2, 8, 389).swapaxes(0, 1)


def test_the_lines_about_returns_are_of_the_mids_at_the_end_of_each_minute() -> None:
    returns = minute_returns()
    assert returns.shape == (8, 2, 389)
    pooled = returns.reshape(8, -1)
    fourth = (pooled**4).mean(axis=1) / (pooled**2).mean(axis=1) ** 2
    assert of_small()[KURTOSIS].value == pytest.approx(fourth.mean(), rel=1e-6)
    size = np.abs(returns) - np.abs(pooled).mean(axis=1)[:, None, None]
    lagged = (size[:, :, 1:] * size[:, :, :-1]).sum(axis=(1, 2)) / (size**2).sum(axis=(1, 2))
    assert of_small()[CLUSTERS].value == pytest.approx(lagged.mean(), rel=1e-6)
    five = returns[:, :, :385].reshape(8, 2, 77, 5).sum(axis=3)
    joint = np.corrcoef(five.reshape(8, -1))[np.triu_indices(8, 1)]
    assert of_small()[SECTOR].value == pytest.approx(joint.mean(), rel=1e-6)
    annual = np.array([0.25, 0.35, 0.30, 0.35, 0.25, 0.40, 0.40, 0.50])  # by symbol
    # 77 of the day's 78 intervals of five minutes are seen.
    realized = np.sqrt((five**2).sum(axis=(1, 2)) / 2 * 78 / 77 * 252)
    assert of_small()[REALIZED].value == pytest.approx((realized / annual).mean(), rel=1e-6)
