"""Trades (R3) at, inside or outside the best quotes of their moment, and their faults."""

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate import clock, faults, scenarios
from ingestion.generate.bbo import best_before
from ingestion.generate.clock import Bools, Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.flow import flow
from ingestion.generate.plan import BLOCK_ROWS, Plan
from ingestion.generate.prices import paths
from ingestion.generate.quotes import quote_day
from ingestion.generate.universe import UNIT, universe

FORM = Form("trades", scales={"price": PRICE_SCALE})
MAX_TICKS_OUTSIDE = 3


@lru_cache(maxsize=2)
def trade_day(plan: Plan, day: date) -> pl.DataFrame:
    """The day's trades in event order, before any fault: what really happened.

    Columns: trade_id, instrument_id, active (index), event_us, price (units of 0.0001), quantity,
    buy (the initiator bought), trader (1...), venue (index, -1 for bonds), sequence (per venue).
    """
    known, orders = universe(plan), flow(plan, day)
    rng = plan.rng("trades", day.isoformat())
    price = _prices(plan, rng, day)
    order = np.argsort(orders.event_us, kind="stable")
    active, count = orders.active[order], len(order)
    stock = active < known.stocks
    venue = np.where(stock, rng.integers(0, len(plan.market.venues), count), -1)
    number = pl.int_range(1, count + 1, eager=True).cast(pl.String).str.zfill(7)
    names = known.frame["instrument_id"].gather(known.active)
    trades = pl.DataFrame(
        {
            "trade_id": f"TRD_{day:%Y%m%d}_" + number,
            "instrument_id": names.gather(active),
            "active": active,
            "event_us": orders.event_us[order],
            "price": price[order],
            "quantity": orders.quantity[order],
            "buy": orders.buy[order],
            "trader": rng.integers(1, plan.market.traders + 1, count),
            "venue": venue,
            "sequence": clock.numbered_within(venue),
        }
    )
    return scenarios.bent_trades(plan, day, trades)


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's messages in arrival order, faulty and repeated ones included, a block at a time.

    Beside the contract's columns: `fault` (kind or null), `variant` and `amount` (faults.py).
    """
    of_day = faults.counts_of_day(plan, day)
    rng = plan.rng("faults", day.isoformat())
    trades = trade_day(plan, day)
    delay = clock.arrival_delay_ms(plan.rng("trades", "arrival", day.isoformat()), len(trades))
    assigned = faults.assign(rng, trades, of_day)
    delay = faults.late_delays(trades["event_us"].to_numpy(), delay, assigned)
    recv = clock.received_ms(trades["event_us"].to_numpy(), delay)
    repeated, later = faults.originals(rng, assigned["fault"], of_day[faults.DUPLICATE])
    row = np.r_[np.arange(len(trades)), repeated]
    recv = np.r_[recv, recv[repeated] + later]
    kinds = pl.concat([assigned, assigned[repeated].with_columns(fault=pl.lit(faults.DUPLICATE))])
    order = clock.arrival_order(recv)
    for first in range(0, len(order), BLOCK_ROWS):
        chosen = order[first : first + BLOCK_ROWS]
        sound = columns(plan, trades[row[chosen]], recv[chosen])
        yield faults.damage_values(sound.hstack(kinds[chosen]))


def _prices(plan: Plan, rng: np.random.Generator, day: date) -> Ints:
    """Price of each order of the flow in units of 0.0001: a buyer pays the offer, give or take."""
    known, orders = universe(plan), flow(plan, day)
    tick = known.column("tick")[orders.active]
    bid, offer = _touch(plan, day, tick)
    count = len(tick)
    ticks = (offer - bid) // tick
    place = rng.random(count)
    inward = np.where(ticks > 1, 1 + (rng.random(count) * (ticks - 1)).astype(np.int64), 0)
    outward = rng.integers(1, MAX_TICKS_OUTSIDE + 1, count)
    at_touch = place < plan.market.touch_share
    inside = ~at_touch & (place < plan.market.touch_share + plan.market.inside_share)
    improvement = np.where(at_touch, 0, np.where(inside, inward, -outward))
    price = np.where(orders.buy, offer - improvement * tick, bid + improvement * tick)
    positive: Ints = np.maximum(price, tick)
    return positive


def _touch(plan: Plan, day: date, tick: Ints) -> tuple[Ints, Ints]:
    """Best bid and offer before each order; half the usual spread about the mid where none live."""
    known, orders = universe(plan), flow(plan, day)
    best = best_before(quote_day(plan, day), orders.active, orders.event_us)
    mid = paths(plan, day).mid(orders.active, orders.event_us) * UNIT / tick
    low, high = (known.column(name)[orders.active] for name in ("spread_low", "spread_high"))
    half = np.sqrt(low * high) / 2e4 * mid
    sound: Bools = best.two_sided
    bid = np.where(sound, best.bid, np.floor(mid - half).astype(np.int64) * tick)
    offer = np.where(sound, best.offer, np.ceil(mid + half).astype(np.int64) * tick)
    return bid, offer


def columns(plan: Plan, trades: pl.DataFrame, recv: Ints) -> pl.DataFrame:
    """Contract columns; venue and sequence are null, so left out, for bonds."""
    venue = trades["venue"].to_numpy()
    stock = pl.Series(venue >= 0)
    venues = pl.Series(plan.market.venues).gather(np.maximum(venue, 0))
    traders = pl.Series([f"TRADER_{number:02d}" for number in range(plan.market.traders + 1)])
    return trades.select(
        "trade_id",
        "instrument_id",
        "price",
        "quantity",
        "event_us",
        venue=pl.when(stock).then(pl.lit(venues)),
        side=pl.when("buy").then(pl.lit("B")).otherwise(pl.lit("S")),
        trader_id=traders.gather(trades["trader"]),
        sequence=pl.when(stock).then("sequence"),
        recv_ms=pl.Series(recv),
    )
