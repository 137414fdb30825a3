"""Book updates: what enters, what leaves, and that neither side outweighs the other."""

from functools import cache

import polars as pl
import pytest

from ingestion.generate import book_updates
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.prices import paths

PLAN = Plan(quotes=4_000, trades=2_000, securities=100, book_updates=60_001)


@cache
def messages(plan: Plan = PLAN) -> pl.DataFrame:
    return pl.concat([frame for day in plan.days for frame in book_updates.rows(plan, day)])


def test_the_types_have_their_shares() -> None:
    for day, count in zip(PLAN.days, (30_001, 30_000), strict=True):
        opened, closed = session_us(day)
        of_day = messages().filter(pl.col("event_us").is_between(opened, closed))
        by_type = dict(of_day.group_by("order_type").len().iter_rows())
        assert by_type == {"LIMIT": count - 12_000, "MARKET": 4_500, "CANCEL": 7_500}


def test_a_cancel_takes_back_a_limit_order_that_is_still_there() -> None:
    # An independent book: one dictionary, messages in the order of each venue's sequence.
    cancelled = 0
    in_order = messages().with_columns(day=pl.col("order_id").str.slice(1, 8))
    for _, of_venue in in_order.group_by("day", "venue"):
        book: dict[str, dict[str, object]] = {}
        seen: set[str] = set()
        for row in of_venue.sort("sequence").iter_rows(named=True):
            if row["order_type"] == "CANCEL":
                order = book.pop(row["order_id"])
                for name in ("instrument_id", "venue", "side", "price", "quantity"):
                    assert order[name] == row[name]
                assert row["event_us"] > order["event_us"]
                cancelled += 1
                continue
            assert row["order_id"] not in seen
            seen.add(row["order_id"])
            if row["order_type"] == "LIMIT":
                book[row["order_id"]] = row
    assert cancelled == 15_000


def test_each_venue_numbers_its_updates_and_sends_them_in_order() -> None:
    by_venue = messages().with_columns(day=pl.col("order_id").str.slice(1, 8))
    for _, of_venue in by_venue.group_by("day", "venue"):
        numbered = of_venue.sort("sequence")
        assert numbered["sequence"].to_list() == list(range(1, len(numbered) + 1))
        assert numbered["event_us"].is_sorted()
        assert numbered["recv_ms"].is_sorted()


def test_a_limit_order_rests_behind_the_mid_on_whole_cents_and_a_market_order_has_no_price() -> (
    None
):
    day = PLAN.days[0]
    opened, closed = session_us(day)
    found = messages().filter(pl.col("event_us").is_between(opened, closed))
    assert found.filter(pl.col("order_type") == "MARKET")["price"].null_count() == 4_500
    limits = found.filter(pl.col("order_type") == "LIMIT")
    assert limits["price"].null_count() == 0
    assert (limits["price"] % 100 == 0).all()
    symbols = [stock.symbol for stock in PLAN.market.stocks]
    stock = limits["instrument_id"].replace_strict(symbols, range(8), return_dtype=pl.Int64)
    mid = pl.Series(paths(PLAN, day).mid(stock.to_numpy(), limits["event_us"].to_numpy())) * 10_000
    behind = pl.select(
        pl.when(limits["side"] == "BUY")
        .then(mid - limits["price"])
        .otherwise(limits["price"] - mid)
    ).to_series()
    assert behind.min() > 0
    assert behind.max() <= 21 * 100


def test_without_a_scenario_no_full_minute_is_as_one_sided_as_an_alert_needs() -> None:
    # analytics.md 15: more than 70 % of at least 10,000 units in at least 10 events, cancels apart.
    busy = Plan(quotes=4_000, trades=2_000, securities=100, book_updates=1_200_000)
    entered = messages(busy).filter(pl.col("order_type") != "CANCEL")
    minutes = (
        entered.group_by("instrument_id", minute=pl.col("event_us") // 60_000_000)
        .agg(
            total=pl.col("quantity").sum(),
            bought=pl.col("quantity").filter(side="BUY").sum(),
            events=pl.len(),
        )
        .filter(pl.col("total") >= 10_000, pl.col("events") >= 10)
        .with_columns(larger=pl.max_horizontal("bought", pl.col("total") - pl.col("bought")))
    )
    assert len(minutes) > 1_000
    assert minutes.filter(10 * pl.col("larger") > 7 * pl.col("total")).is_empty()


def test_neighbouring_orders_of_a_stock_are_a_little_more_often_on_one_side() -> None:
    entered = messages().filter(pl.col("order_type") != "CANCEL").sort("order_id")
    same = entered.select(
        (pl.col("side") == pl.col("side").shift()).over("instrument_id").alias("same")
    )["same"]
    assert same.mean() == pytest.approx(book_updates.SAME_SIDE, abs=0.01)
