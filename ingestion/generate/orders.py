"""L3 order messages (R4), as the feed of each energy future sends them (analytics.md 23.1)."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate import clock
from ingestion.generate.book import ADD, TRADE, TYPES, Messages, message_day
from ingestion.generate.clock import Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.touch import tick_units

FORM = Form("orders", scales={"price": PRICE_SCALE})
# A feed keeps its order, so it never waits as long as messages that come one by one.
DELAY_MS = (1, 4)


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's messages in the order of the feed, a block at a time.

    A book's `sequence` counts its messages of the day from 1 without a gap. A trade names the order
    that it executes, and has the side of its aggressor. Raises ValueError where orders are asked
    for and the market has no futures.
    """
    if plan.share_of(plan.orders, day):
        yield from _blocks(plan, day, message_day(plan, day))


def _blocks(plan: Plan, day: date, messages: Messages) -> Iterator[pl.DataFrame]:
    order = _feed_order(messages)
    number = _order_numbers(messages, order)
    rng = plan.rng("orders", "arrival", day.isoformat())
    sent, arrived = np.zeros(len(plan.market.futures), dtype=np.int64), 0
    for first in range(0, len(order), BLOCK_ROWS):
        chosen = order[first : first + BLOCK_ROWS]
        future = messages.book_of[messages.order[chosen]] // 2
        event_us = session_us(day)[0] + messages.at_us[chosen]
        delay = rng.integers(*DELAY_MS, len(chosen), endpoint=True)
        recv = np.maximum.accumulate(np.maximum(clock.received_ms(event_us, delay), arrived))
        sequence = sent[future] + clock.numbered_within(future)
        yield _columns(plan, day, messages, chosen, number, first).with_columns(
            event_us=event_us, sequence=sequence, recv_ms=recv
        )
        sent += np.bincount(future, minlength=len(sent))
        arrived = int(recv[-1])


def _feed_order(messages: Messages) -> Ints:
    """Positions by time. Those of one microsecond keep their order: added, traded, taken away.

    Time and position in one number, because sorting numbers is many times faster than arguments.
    """
    bits = len(messages.at_us).bit_length()
    keys = (messages.at_us << bits) + np.arange(len(messages.at_us))
    keys.sort()
    return keys & ((1 << bits) - 1)


def _order_numbers(messages: Messages, feed_order: Ints) -> Ints:
    """Number of each order of the day, in the order in which they were added, from 1."""
    added = feed_order[messages.kind[feed_order] == ADD]
    number = np.empty(len(added), dtype=np.int64)
    number[messages.order[added]] = np.arange(1, len(added) + 1)
    return number


def _columns(
    plan: Plan, day: date, messages: Messages, chosen: Ints, number: Ints, first: int
) -> pl.DataFrame:
    """Contract columns but for those that depend on the messages before."""
    futures = plan.market.futures
    book = messages.book_of[messages.order[chosen]]
    kind = messages.kind[chosen]
    ticks = np.array([tick_units(future.tick) for future in futures])
    bid_side = (book % 2 == 1) != (kind == TRADE)
    message = pl.int_range(first + 1, first + len(chosen) + 1, eager=True)
    return pl.select(
        msg_id=_numbered(f"M{day:%Y%m%d}_", message),
        instrument_id=pl.lit(pl.Series([f.symbol for f in futures])).gather(book // 2),
        venue=pl.lit(pl.Series([f.venue for f in futures])).gather(book // 2),
        order_id=_numbered(f"O{day:%Y%m%d}_", pl.Series(number[messages.order[chosen]])),
        price=pl.Series(np.abs(messages.level[chosen]) * ticks[book // 2]),
        quantity=pl.Series(messages.quantity[chosen]),
        side=pl.lit(pl.Series(["S", "B"])).gather(bid_side.astype(np.int8)),
        msg_type=pl.lit(pl.Series(TYPES)).gather(kind),
    )


def _numbered(prefix: str, number: pl.Series) -> pl.Expr:
    return pl.concat_str(pl.lit(prefix), pl.lit(number).cast(pl.String).str.zfill(8))
