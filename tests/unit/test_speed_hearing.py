"""What was heard is in candles before it lands, and never twice: the half that ticks."""

import time

import numpy as np

from contracts import registry
from ingestion.laid_out import lengths_of
from ingestion.sources.kafka_records import Poll
from ingestion.speed.engine import State
from ingestion.speed.hearing import Hearing
from ingestion.speed.settled import Settled
from ingestion.speed.tentative import on_top_of
from tests.speed_rows import START, a_print, landed

TOPIC = "market.trades.v1"
UNIT = a_print(0, 0.0, "1").unit


def hearing() -> Hearing:
    return Hearing(registry.get("trades"), 1_000_000, None)


def hear(half: Hearing, first: int, count: int) -> None:
    """Say that records at these positions, all of one second, were polled."""
    values = [
        b'{"tradeId":"%d","instrumentId":"AAPL","price":100,"quantity":1,"timestamp":%d,'
        b'"buySellIndicator":"B"}' % (position, START // 1_000_000)
        for position in range(first, first + count)
    ]
    poll = Poll(
        lines=b"\n".join(values),
        lengths=lengths_of(values),
        numbers=np.zeros(count, np.int64),
        offsets=np.arange(first, first + count),
        times=np.tile([1, time.time_ns() // 1_000_000], count),
        delivery_units=None,
    )
    half.hear(TOPIC, poll, {0: UNIT})


def trades(half: Hearing) -> int | None:
    """How many trades the candles of a minute have; None without candles."""
    if half.candles is None:
        return None
    return int(on_top_of(*half.candles)["1m"].filter(venue="ALL")["trade_count"].sum())


def test_what_is_heard_counts_until_it_is_settled_and_then_once() -> None:
    half, state = hearing(), State("trades")
    half.settled = Settled.of(state)
    hear(half, 0, 5)
    half.tick()
    assert trades(half) == 5
    state.advance(landed([(1, [a_print(n, 0.0, "100") for n in range(3)])]))
    half.settled = Settled.of(state, {UNIT: 3})
    before = half.candles
    half.tick()
    assert half.candles is not None
    assert [piece.rows["position"].to_list() for piece in half.candles.pieces] == [[3, 4]]
    assert trades(half) == 5
    assert before is not None
    assert len(before.settled.windows["1m"]) == 0  # another thread may still be showing it
    assert before.pieces[0].rows.height == 5


def test_what_was_heard_before_anything_is_settled_waits() -> None:
    half = hearing()
    hear(half, 0, 2)
    half.tick()
    assert trades(half) is None
    half.settled = Settled.of(State("trades"))
    half.tick()
    assert trades(half) == 2


def test_after_beginning_anew_what_was_heard_before_counts_no_more() -> None:
    half = hearing()
    half.settled = Settled.of(State("trades"))
    hear(half, 0, 2)
    half.tick()
    hear(half, 2, 1)
    half.begin_anew()
    half.settled = Settled.of(State("trades"))  # before a tick saw that there was nothing
    half.tick()
    assert trades(half) == 0
    hear(half, 3, 4)
    half.tick()
    assert trades(half) == 4
