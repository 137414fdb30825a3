"""Order-book updates (R7): orders that enter the stocks' books and those that leave them again.

A LIMIT order rests behind the mid, a MARKET order has no price, a CANCEL takes back a whole LIMIT
order that is still there. What is not cancelled stays until the close.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate import clock
from ingestion.generate.clock import SECOND_US, Bools, Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.market_data import drawn_stocks, in_order_of_venue
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.prices import paths
from ingestion.generate.universe import STOCK_TICK, UNIT

FORM = Form("book_updates", scales={"price": PRICE_SCALE}, time="epoch_ms")
CANCEL_SHARE, MARKET_SHARE = 0.25, 0.15
TYPES = ("LIMIT", "MARKET", "CANCEL")
LIMIT, MARKET, CANCEL = range(3)
# Small and alike, and hardly ever in runs: without a scenario no side of 10,000 units a minute
# should outweigh the other as analytics.md 15 alerts about.
MEDIAN_QUANTITY, QUANTITY_SCATTER = 50, 0.5
SAME_SIDE = 0.53
TICKS_BEHIND_MID = 20
MEAN_LIFE_MS = 60_000
BEFORE_CLOSE_US = SECOND_US // 10


@dataclass(frozen=True)
class _Orders:
    """The day's orders by time; arrays of one length. Times are ms since the open.

    `price` is in ticks and 0 for a market order, `cancelled_ms` -1 where the order stays.
    """

    at_ms: Ints
    stock: Ints
    venue: Ints
    buy: Bools
    market: Bools
    price: Ints
    quantity: Ints
    cancelled_ms: Ints


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's messages in arrival order. Prices in units of 0.0001, quantities in shares."""
    rng = plan.rng("book_updates", day.isoformat())
    count = plan.share_of(plan.book_updates, day)
    orders = _orders(plan, day, rng, count)
    number = np.r_[np.arange(len(orders.at_ms)), np.flatnonzero(orders.cancelled_ms >= 0)]
    entered = len(orders.at_ms)
    kind = np.full(count, CANCEL)
    kind[:entered] = np.where(orders.market, MARKET, LIMIT)
    at_ms = np.r_[orders.at_ms, orders.cancelled_ms[number[entered:]]]
    # Within a millisecond, orders enter before others leave.
    order = np.lexsort((kind == CANCEL, at_ms))
    number, kind, event = number[order], kind[order], session_us(day)[0] + 1000 * at_ms[order]
    venue = orders.venue[number]
    recv = clock.received_ms(event, clock.arrival_delay_ms(rng, count))
    recv = in_order_of_venue(venue, recv)
    sequence = clock.numbered_within(venue)
    arrival = clock.arrival_order(recv)
    for first in range(0, count, BLOCK_ROWS):
        chosen = arrival[first : first + BLOCK_ROWS]
        frame = _messages(plan, day, orders, number[chosen], kind[chosen])
        yield frame.with_columns(
            event_us=pl.Series(event[chosen]),
            sequence=pl.Series(sequence[chosen]),
            recv_ms=pl.Series(recv[chosen]),
        )


def _orders(plan: Plan, day: date, rng: np.random.Generator, count: int) -> _Orders:
    """Orders of which exactly enough are cancelled for `count` messages in all."""
    cancels, markets = round(count * CANCEL_SHARE), round(count * MARKET_SHARE)
    entered = count - cancels
    opened, closed = session_us(day)
    last_ms = (closed - BEFORE_CLOSE_US - opened) // 1000
    at_ms = np.sort((clock.diurnal_moments(rng, entered) * (last_ms - 1)).astype(np.int64))
    stock = drawn_stocks(plan, rng, entered)
    buy = _sides(rng, stock)
    mixed = rng.permutation(entered)
    market = np.zeros(entered, dtype=bool)
    market[mixed[:markets]] = True
    mid = paths(plan, day).mid(stock, opened + 1000 * at_ms) * UNIT / STOCK_TICK
    behind = rng.integers(0, TICKS_BEHIND_MID, entered)
    price = np.where(buy, np.ceil(mid).astype(np.int64) - 1 - behind, np.floor(mid) + 1 + behind)
    quantity = rng.lognormal(np.log(MEDIAN_QUANTITY), QUANTITY_SCATTER, entered)
    leaves = mixed[markets : markets + cancels]
    left_ms = last_ms - at_ms[leaves]
    life = np.minimum(rng.exponential(MEAN_LIFE_MS, cancels), rng.random(cancels) * left_ms)
    cancelled_ms = np.full(entered, -1)
    cancelled_ms[leaves] = at_ms[leaves] + np.maximum(life.astype(np.int64), 1)
    return _Orders(
        at_ms=at_ms,
        stock=stock,
        venue=rng.integers(0, len(plan.market.venues), entered),
        buy=buy,
        market=market,
        price=np.where(market, 0, np.maximum(price, 1)).astype(np.int64),
        quantity=np.maximum(np.rint(quantity), 1).astype(np.int64),
        cancelled_ms=cancelled_ms,
    )


def _sides(rng: np.random.Generator, stock: Ints) -> Bools:
    """Each order takes the side of the one before it in its stock a little more often than not."""
    by_stock = np.argsort(stock, kind="stable")
    turned = rng.random(len(stock)) >= SAME_SIDE
    buy = np.empty(len(stock), dtype=bool)
    buy[by_stock] = np.cumsum(turned) % 2 == 1
    return buy


def _messages(plan: Plan, day: date, orders: _Orders, number: Ints, kind: Ints) -> pl.DataFrame:
    symbols = pl.Series([stock.symbol for stock in plan.market.stocks])
    price = orders.price[number] * STOCK_TICK
    ids = pl.Series(number + 1).cast(pl.String).str.zfill(9)
    return pl.DataFrame(
        {
            "instrument_id": symbols.gather(orders.stock[number]),
            "venue": pl.Series(plan.market.venues).gather(orders.venue[number]),
            "side": pl.Series(("SELL", "BUY")).gather(orders.buy[number].astype(np.int64)),
            "order_type": pl.Series(TYPES).gather(kind),
            "price": pl.Series(price).set(pl.Series(price == 0), None),
            "quantity": orders.quantity[number],
            "order_id": f"B{day:%Y%m%d}_" + ids,
        }
    )
