"""Market data: quotes on the tick around one mid, and no arbitrage but the scenario's."""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl
import pytest

from ingestion.generate import market_data, scenarios
from ingestion.generate.market import Market
from ingestion.generate.plan import Plan, session_us

PLAN = Plan(
    seed=5, quotes=4_000, trades=2_000, securities=100, days=(date(2025, 10, 2),),
    market_data=40_000,
)  # fmt: skip
ARBITRAGE = Plan(**{**vars(PLAN), "scenario": "arbitrage"})
JUMPY = Plan(**{**vars(PLAN), "market": Market(jumps_per_day=20, jump_size=0.02)})
WILD = Plan(**{**vars(PLAN), "scenario": "volatility", "trades": 20_000})
AGE_US = 1_000_000


@cache
def messages(plan: Plan) -> pl.DataFrame:
    return pl.concat(list(market_data.rows(plan, plan.days[0])))


def opportunities(plan: Plan) -> Iterator[tuple[dict[str, Any], dict[str, Any], Fraction]]:
    """Every (venue to buy on, venue to sell on, bps above 0) as quotes aged at most 1 s show it.

    Quotes of one instant count only together, as no time passes between them.
    """
    for _, of_stock in messages(plan).group_by("instrument_id"):
        live: dict[str, dict[str, Any]] = {}
        quotes = of_stock.sort("event_us", "sequence").to_dicts()
        for event_us, instant in groupby(quotes, itemgetter("event_us")):
            live |= {row["venue"]: row for row in instant}
            fresh = [row for row in live.values() if event_us - row["event_us"] <= AGE_US]
            for buy in fresh:
                for sell in fresh:
                    edge = sell["bid_price"] - buy["offer_price"]
                    if edge > 0:
                        yield buy, sell, Fraction(10_000 * edge, buy["offer_price"])


def test_quotes_are_whole_cents_and_never_crossed() -> None:
    for plan in (PLAN, ARBITRAGE, JUMPY):
        found = messages(plan)
        for name in ("bid_price", "offer_price", "last_price"):
            assert (found[name] % 100 == 0).all()
        assert (found["bid_price"] < found["offer_price"]).all()
        last = found["last_price"]
        assert ((last == found["bid_price"]) | (last == found["offer_price"])).all()


def test_the_spread_is_one_to_five_ticks_unless_the_mid_moves_fast() -> None:
    ticks = (messages(PLAN)["offer_price"] - messages(PLAN)["bid_price"]) // 100
    assert ticks.min() == 1
    assert (ticks <= 5).mean() > 0.97
    fast = (messages(JUMPY)["offer_price"] - messages(JUMPY)["bid_price"]) // 100
    assert fast.max() > 50


def test_eight_stocks_quote_on_three_venues_that_number_their_messages() -> None:
    found = messages(PLAN)
    assert found["instrument_id"].n_unique() == 8
    assert set(found["venue"]) == {"NYSE", "NASDAQ", "BATS"}
    for _, of_venue in found.group_by("venue"):
        numbered = of_venue.sort("sequence")
        assert numbered["sequence"].to_list() == list(range(1, len(numbered) + 1))
        assert numbered["event_us"].is_sorted()
        assert numbered["recv_ms"].is_sorted()  # a venue's feed overtakes nothing


def test_messages_are_busiest_at_the_open_and_the_close() -> None:
    opened, closed = session_us(PLAN.days[0])
    happened = (messages(PLAN)["event_us"] - opened) / (closed - opened)
    assert happened.min() >= 0 and happened.max() < 1
    # First and last 30 of 390 minutes: the integral of d(u) gives 26.7 % (analytics.md 23.3).
    outer = ((happened < 30 / 390) | (happened >= 360 / 390)).mean()
    assert outer == pytest.approx(0.267, abs=0.01)


@pytest.mark.parametrize("plan", [PLAN, JUMPY, WILD], ids=["calm", "jumpy", "wild"])
def test_no_two_quotes_within_a_second_make_an_arbitrage_of_ten_bps(plan: Plan) -> None:
    assert max((edge for *_, edge in opportunities(plan)), default=0) < 10


def test_the_only_arbitrages_are_those_of_the_scenario_and_all_of_them() -> None:
    expected = scenarios.truth(ARBITRAGE)
    assert len(expected) == 2 * scenarios.EPISODES  # against each of the two other venues
    seen: dict[tuple[str, str, str], list[int]] = {}
    for buy, sell, edge in opportunities(ARBITRAGE):
        if edge >= 10:
            key = (buy["instrument_id"], buy["venue"], sell["venue"])
            at = max(buy["event_us"], sell["event_us"])
            [episode] = expected.filter(
                pl.col("instrument_id") == key[0],
                pl.col("buy_venue") == key[1],
                pl.col("sell_venue") == key[2],
                pl.lit(at).is_between("start_us", "end_us", closed="left"),
            ).iter_rows(named=True)
            tick_bps = Fraction(100 * 10_000, buy["offer_price"])
            assert abs(edge - Fraction(episode["value"])) <= tick_bps
            assert 15 <= edge <= 30
            seen.setdefault((*key, episode["start_us"]), []).append(at)
    assert len(seen) == len(expected)
    for row in expected.iter_rows(named=True):
        key = (row["instrument_id"], row["buy_venue"], row["sell_venue"], row["start_us"])
        instants = sorted(set(seen[key]))
        assert instants == list(range(row["start_us"], row["end_us"], 250_000))


def test_a_day_too_small_for_its_episodes_is_refused() -> None:
    small = Plan(**{**vars(ARBITRAGE), "market_data": 50})
    with pytest.raises(ValueError, match=r"needs .* market data messages and has 50; ask for more"):
        list(market_data.rows(small, small.days[0]))


def test_an_arbitrage_day_has_exactly_the_messages_asked_for() -> None:
    assert len(messages(ARBITRAGE)) == 40_000
