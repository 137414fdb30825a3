"""Scenarios: what the truth promises is in the data, found by the rules of analytics.md 14-16."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingestion.generate import scenarios
from ingestion.generate.bars import minute_bars
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.prices import paths
from ingestion.generate.trades import trade_day

BASE: dict[str, Any] = {"quotes": 80_000, "trades": 80_000, "securities": 100}
MINUTE_US = 60_000_000
SEEDS = (1, 2, 3)


def plan_of(scenario: str | None, seed: int) -> Plan:
    return Plan(**BASE, seed=seed, scenario=scenario)  # type: ignore[arg-type]


def expected(plan: Plan, rule: str) -> list[dict[str, Any]]:
    return scenarios.truth(plan).filter(rule=rule).to_dicts()


def stock_trades(plan: Plan, day: date, symbol: str) -> pl.DataFrame:
    return trade_day(plan, day).filter(instrument_id=symbol)


def test_a_plan_without_a_scenario_has_no_truth_and_bends_nothing() -> None:
    plan = plan_of(None, 1)
    assert scenarios.truth(plan).is_empty()
    assert scenarios.truth(plan).schema == scenarios.TRUTH_SCHEMA
    assert (scenarios.volatility_factors(plan, plan.days[0], 9, 390) == 1).all()
    assert scenarios.jumps(plan, plan.days[0]) == []
    assert scenarios.dislocations(plan, plan.days[0]) == []
    trades = trade_day(plan, plan.days[0])
    assert_frame_equal(scenarios.bent_trades(plan, plan.days[0], trades), trades)


@pytest.mark.parametrize("seed", SEEDS)
def test_volatility_moves_the_price_by_five_percent_against_the_five_minutes_before(
    seed: int,
) -> None:
    plan = plan_of("volatility", seed)
    moves = expected(plan, "price_move")
    assert len(moves) == 2 * len(plan.days)
    for move in moves:
        assert abs(move["value"]) > move["threshold"] == 5
        trades = stock_trades(plan, move["day"], move["instrument_id"])
        changes = []
        for at, price in trades.select("event_us", "price").iter_rows():
            if move["start_us"] <= at < move["end_us"]:
                five = trades.filter(pl.col("event_us").is_between(at - 5 * MINUTE_US, at, "left"))
                changes.append(100 * (price / five["price"].mean() - 1))
        extreme = max(changes) if move["value"] > 0 else -min(changes)
        assert extreme > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_volatility_makes_one_minute_three_times_as_busy_as_the_twenty_before(seed: int) -> None:
    plan = plan_of("volatility", seed)
    for spike in expected(plan, "volume_spike"):
        trades = stock_trades(plan, spike["day"], spike["instrument_id"])
        volumes = dict(minute_bars(trades).select("event_us", "volume").iter_rows())
        start = spike["start_us"]
        before = [volumes.get(start - minute * MINUTE_US, 0) for minute in range(1, 21)]
        assert spike["end_us"] == start + MINUTE_US
        assert volumes[start] >= 6 * sum(before) / 20 > 0


def test_volatility_is_six_times_as_high_for_twenty_minutes_and_leaves_the_day_its_return() -> None:
    calm, wild = plan_of(None, 1), plan_of("volatility", 1)
    day = calm.days[0]
    factors = scenarios.volatility_factors(wild, day, 8, 390)
    assert sorted(factors.ravel().tolist()) == [1.0] * (8 * 390 - 20) + [6.0] * 20
    assert paths(wild, day).log_mid[:, -1] == pytest.approx(paths(calm, day).log_mid[:, -1])


@pytest.mark.parametrize("seed", SEEDS)
def test_risk_gives_one_trader_a_position_beyond_its_limit_before_the_fall(seed: int) -> None:
    plan = plan_of("risk", seed)
    for breach in expected(plan, "position_notional"):
        trades = stock_trades(plan, breach["day"], breach["instrument_id"]).filter(
            pl.col("event_us") < breach["end_us"],
            pl.col("trader") == int(breach["trader_id"].removeprefix("TRADER_")),
        )
        assert trades["buy"].all()
        position = trades["quantity"].sum()
        notional = position * trades["price"][-1] / 10_000
        assert notional > 0.9 * breach["value"] > breach["threshold"] == 1_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_risk_costs_that_trader_more_than_he_may_lose_in_a_day(seed: int) -> None:
    plan = Plan(**BASE, seed=seed, scenario="risk", days=(date(2025, 10, 2),))
    [loss] = expected(plan, "daily_pnl")
    assert loss["instrument_id"] is None
    trades = trade_day(plan, loss["day"]).filter(
        pl.col("event_us") < loss["end_us"], pl.col("venue") >= 0
    )
    trader = int(loss["trader_id"].removeprefix("TRADER_"))
    # From nothing: profit = what the position is worth at the last prices + the cash it gave.
    profit = 0
    for (_,), of_stock in trades.group_by("instrument_id"):
        mine = of_stock.filter(trader=trader)
        signed = mine.select(pl.when("buy").then("quantity").otherwise(-pl.col("quantity")))
        position = signed.to_series()
        profit += position.sum() * of_stock["price"][-1] - (position * mine["price"]).sum()
    assert profit / 10_000 < loss["threshold"] == -100_000


def test_only_traders_change_where_one_accumulates() -> None:
    plan = plan_of("risk", 1)
    trades = trade_day(plan, plan.days[0])
    again = scenarios.bent_trades(plan, plan.days[0], trades)
    assert_frame_equal(again.drop("trader"), trades.drop("trader"))


@pytest.mark.parametrize("scenario", [None, "volatility", "arbitrage", "risk"])
def test_trades_are_numbered_in_the_order_they_happened(scenario: str | None) -> None:
    plan = plan_of(scenario, 4)
    for day in plan.days:
        trades = trade_day(plan, day)
        numbers = trades["trade_id"].str.slice(len("TRD_YYYYMMDD_")).cast(pl.Int64)
        assert numbers.to_list() == list(range(1, len(trades) + 1))
        assert trades["event_us"].is_sorted()


def test_arbitrage_episodes_lie_in_the_session_and_apart_from_each_other() -> None:
    plan = plan_of("arbitrage", 1)
    for day in plan.days:
        opened, closed = session_us(day)
        episodes = scenarios.dislocations(plan, day)
        assert len(episodes) == 4
        ends = [opened]
        for episode in episodes:
            assert episode.start_us - ends[-1] >= 30_000_000
            assert 3 <= (episode.end_us - episode.start_us) / 1_000_000 <= 8
            assert 15 <= episode.edge_bps <= 30
            ends.append(episode.end_us)
        assert closed - ends[-1] >= 30_000_000
    rows = expected(plan, "arbitrage")
    assert len(rows) == 2 * 4 * 2
    assert all(row["buy_venue"] != row["sell_venue"] for row in rows)


@pytest.mark.parametrize("scenario", ["volatility", "risk"])
def test_too_few_trades_for_a_scenario_are_refused_with_what_to_do(scenario: str) -> None:
    plan = Plan(quotes=300, trades=20, securities=100, scenario=scenario)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"scenario {scenario}: .* ask for more of both"):
        trade_day(plan, plan.days[0])
