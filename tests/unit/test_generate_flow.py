"""The order flow: how many orders, in which bursts, on which side, how large.

What is expected comes from the theory of the Hawkes process, not from the code.
"""

from datetime import date
from functools import cache
from math import exp, log
from statistics import NormalDist, fmean

import numpy as np
import pytest

from ingestion.generate.flow import Flow, flow
from ingestion.generate.market import SEGMENTS, STOCKS, Market
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import universe

DAY = date(2025, 10, 2)
ONE_STOCK = STOCKS[:1]
BRANCHING, DECAY = 0.7, 5.0


@cache
def flow_of_one_stock(branching: float = BRANCHING, trades: int = 200_000) -> Flow:
    market = Market(stocks=ONE_STOCK, active_bonds=0, branching=branching)
    plan = Plan(
        seed=3,
        days=(DAY,),
        quotes=1_000,
        trades=trades,
        securities=100,
        fault_share=0,
        market=market,
    )
    return flow(plan, DAY)


@cache
def flow_of_many() -> tuple[Plan, Flow]:
    plan = Plan(seed=4, days=(DAY,), quotes=40_000, trades=200_000, securities=500, fault_share=0)
    return plan, flow(plan, DAY)


def seconds_of(made: Flow) -> np.ndarray:
    return (made.event_us - session_us(DAY)[0]) // 1_000_000


def fano(counts: np.ndarray) -> float:
    return float(counts.var() / counts.mean())


def expected_fano(mean: float, branching: float, seconds: float) -> float:
    """Of counts in windows of a stationary exponential Hawkes process (Hawkes 1971), plus what
    the diurnal curve adds: its variance, of mean 1, is 0.1771."""
    rate = DECAY * (1 - branching) * seconds
    bursts = branching * (2 - branching) / (1 - branching) ** 2
    return 1 + bursts * (1 - (1 - exp(-rate)) / rate) + 0.1771 * mean


@pytest.mark.parametrize("branching", [0.0, 0.4, 0.7])
@pytest.mark.parametrize("window", [1, 10])
def test_arrivals_come_in_bursts_as_large_as_those_of_a_hawkes_process(
    branching: float, window: int
) -> None:
    counts = np.bincount(seconds_of(flow_of_one_stock(branching)) // window)
    assert fano(counts) == pytest.approx(
        expected_fano(counts.mean(), branching, window), rel=0.02 + 0.01 * window
    )


def test_a_second_of_trades_varies_far_more_than_poisson() -> None:
    assert fano(np.bincount(seconds_of(flow_of_one_stock()))) > 1.5


def test_a_quarter_of_the_orders_comes_in_the_first_and_last_half_hour() -> None:
    minute = seconds_of(flow_of_one_stock()) // 60
    u = np.arange(390 * 100) / (390 * 100)
    busy = (0.6 + 1.6 * (2 * u - 1) ** 2) / 1.13333
    expected = busy[(u < 30 / 390) | (u >= 360 / 390)].sum() / busy.sum()
    assert expected == pytest.approx(0.267, abs=0.0005)  # as analytics.md 23.3 says
    # Bursts: the variance of a count is 1 / (1 - 0.7)^2 times that of independent orders.
    error = (expected * (1 - expected) / len(minute)) ** 0.5 / (1 - BRANCHING)
    assert np.mean((minute < 30) | (minute >= 360)) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("branching", [0.0, 0.7, 0.95])
@pytest.mark.parametrize("count", [0, 1, 2, 999, 20_001])
def test_there_are_exactly_as_many_orders_as_asked_for(count: int, branching: float) -> None:
    made = flow_of_one_stock(branching, count)
    lengths = {len(a) for a in (made.active, made.event_us, made.buy, made.quantity, made.size)}
    assert lengths == {count}


def test_orders_lie_in_the_session_by_instrument_then_time() -> None:
    plan, made = flow_of_many()
    opened, closed = session_us(DAY)
    assert opened <= made.event_us.min() and made.event_us.max() < closed
    order = np.lexsort((made.event_us, made.active))
    assert (order == np.arange(len(order))).all()
    bonds = made.active >= universe(plan).stocks
    assert bonds.any() and (made.event_us[bonds] % 1_000 == 0).all()
    assert (made.event_us[~bonds] % 1_000 > 0).mean() > 0.99


def test_half_of_the_orders_are_in_stocks_and_few_names_carry_most() -> None:
    _, made = flow_of_many()
    counts = np.bincount(made.active)
    stocks, bonds = 8, len(counts) - 8
    assert bonds == 40  # a bond for every 1,000 quotes
    # Bursts of 1 / (1 - 0.7) orders on the mean, and five standard deviations.
    for shares, found in ((stocks, counts[:stocks]), (bonds, counts[stocks:])):
        rank = np.arange(1, shares + 1)
        expected = 0.5 * len(made.active) * rank**-0.5 / (rank**-0.5).sum()
        largest_first = np.sort(found)[::-1]
        error = 5 * np.sqrt(expected) / (1 - BRANCHING)
        assert (np.abs(largest_first - expected) < error).all()


@pytest.mark.parametrize("same_sign", [0.5, 0.65, 0.9])
def test_an_order_is_on_the_side_of_the_one_before_it_as_often_as_set(same_sign: float) -> None:
    market = Market(same_sign=same_sign)
    plan = Plan(
        days=(DAY,), quotes=20_000, trades=100_000, securities=200, fault_share=0, market=market
    )
    made = flow(plan, DAY)
    follows = made.active[1:] == made.active[:-1]
    same = (made.buy[1:] == made.buy[:-1])[follows]
    error = 5 * (same_sign * (1 - same_sign) / len(same)) ** 0.5
    assert same.mean() == pytest.approx(same_sign, abs=error)
    # Runs of one side do not favour a side.
    drift = 5 * 0.5 * (same_sign / (1 - same_sign) / len(made.buy)) ** 0.5
    assert made.buy.mean() == pytest.approx(0.5, abs=drift)


def test_sizes_are_lognormal_about_the_median_with_a_hundredth_of_blocks() -> None:
    _, made = flow_of_many()
    low, middle, high = np.quantile(np.log(made.size), [0.1587, 0.5, 0.8413])
    assert middle == pytest.approx(0, abs=0.03)
    assert (high - low) / 2 == pytest.approx(1, abs=0.03)
    above = NormalDist().cdf
    blocks = fmean(above(log(times / 20)) for times in range(10, 51))
    large = 0.99 * above(-log(20)) + 0.01 * blocks
    assert np.mean(made.size > 20) == pytest.approx(large, abs=5 * (large / len(made.size)) ** 0.5)
    stock = made.active < 8
    assert (made.quantity[stock] == np.maximum(np.rint(made.size[stock] * 100), 1)).all()
    assert (made.quantity[~stock] == 1_000 * np.maximum(np.rint(made.size[~stock] * 250), 1)).all()


def test_a_market_of_bonds_alone_has_orders_in_bonds_alone() -> None:
    market = Market(stock_share=0, segments=SEGMENTS[:1])
    plan = Plan(
        days=(DAY,), quotes=20_000, trades=5_000, securities=200, fault_share=0, market=market
    )
    assert (flow(plan, DAY).active >= 8).all()
