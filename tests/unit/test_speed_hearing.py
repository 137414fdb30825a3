"""What was heard is in candles before it lands, and never twice: the half that ticks."""

import random
from collections.abc import Sequence

import numpy as np
from polars.testing import assert_frame_equal

from contracts import registry
from ingestion.laid_out import lengths_of
from ingestion.sources.kafka_records import Poll
from ingestion.speed.engine import State
from ingestion.speed.hearing import Hearing
from ingestion.speed.settled import Settled
from ingestion.speed.tentative import on_top_of
from tests.oracle_speed import Print
from tests.speed_rows import START, a_print, landed

TOPIC = "market.trades.v1"
MS = 1_000_000
UNIT = a_print(0, 0.0, "1").unit


def hearing() -> Hearing:
    return Hearing(registry.get("trades"), 1_000_000, None)


def hear(half: Hearing, first: int, count: int) -> None:
    """Say that records at these positions, all of one second, were polled."""
    hear_prints(half, [a_print(position, 0.0) for position in range(first, first + count)])


def hear_prints(half: Hearing, prints: Sequence[Print]) -> None:
    """Say that a poll brought these."""
    values = [
        b'{"tradeId":"%s","instrumentId":"%s","venue":"%s","price":%s,"quantity":%s,'
        b'"timestamp":%d,"buySellIndicator":"B"}'
        % (
            (p.trade_id or str(p.position)).encode(),
            p.instrument.encode(),
            (p.venue or "").encode(),
            str(p.price).encode(),
            str(p.quantity).encode(),
            p.event // MS,
        )
        for p in prints
    ]
    poll = Poll(
        lines=b"\n".join(values),
        lengths=lengths_of(values),
        numbers=np.zeros(len(prints), np.int64),
        offsets=np.array([p.position for p in prints], np.int64),
        times=np.array([[1, p.arrival // MS] for p in prints], np.int64).ravel(),
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


def test_what_is_heard_makes_the_windows_that_it_makes_when_it_is_settled() -> None:
    chance = random.Random(7)
    times = sorted(chance.randrange(1_150) for _ in range(300))  # no window closes
    prints = [
        a_print(
            place,
            at / 1_000,
            str(chance.randrange(9_900, 10_100)),
            arrival=START + at * MS,
            instrument=chance.choice(["AAPL", "MSFT"]),
            venue=chance.choice([None, "NYSE", "BATS"]),
            quantity=chance.randrange(1, 500),
            trade_id=f"{chance.randrange(1_000)}-{place}",
        )
        for place, at in enumerate(times)
    ]
    half, state = hearing(), State("trades")
    half.settled = Settled.of(state)
    for first in range(0, 300, 70):
        hear_prints(half, prints[first : first + 70])
        half.tick()
    assert half.candles is not None and len(half.candles.pieces) == 5
    found = on_top_of(*half.candles)
    assert state.advance(landed([(1, prints)])).is_empty()
    for width, windows in Settled.of(state).windows.items():
        assert_frame_equal(found[width], windows, check_row_order=False)


def test_what_is_heard_too_late_for_a_second_counts_in_its_ten_seconds() -> None:
    half, state = hearing(), State("trades")
    state.advance(landed([(1, [a_print(0, 5.0)])]))
    half.settled = Settled.of(state, {UNIT: 1})
    hear_prints(half, [a_print(1, 3.0)])
    half.tick()
    assert half.candles is not None
    counted = {
        width: windows.filter(venue="ALL").sort("start_ns")["trade_count"].to_list()
        for width, windows in on_top_of(*half.candles).items()
    }
    assert counted == {"1s": [1], "10s": [2], "1m": [2]}
