"""The frames of many clients as batches: in order, fenced, and nobody told before his turn."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from contracts import registry
from ingestion.batch import Batch
from ingestion.listen.protocol import read_frame
from ingestion.listen.source import WebSocketSource, weight_of
from lake.bronze import Span
from lake.settings import load_settings

POSITIONS = {"ws:desk/trades": 5}


@dataclass(eq=False)
class Heard:
    """A sender that writes down what it is told."""

    unit: str = "ws:desk/trades"
    began: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def begin(self, position: int) -> None:
        self.began.append(position)

    def landed(self, following: int, refused: Mapping[str, list[int]]) -> None:
        raise AssertionError("nothing lands here")

    def failed(self, why: str) -> None:
        self.failures.append(why)


def make_source(freed: list[int] | None = None, **environment: object) -> WebSocketSource:
    """A source whose calls into the event loop come at once."""
    given = {name: str(value) for name, value in environment.items()}
    settings = load_settings({"TICKLAKE_BATCH_SECONDS": "0.01", **given})
    released = [] if freed is None else freed
    return WebSocketSource(
        registry.get("trades"), settings, lambda call, *rest: call(*rest), released.append
    )


def drained(source: WebSocketSource) -> list[Batch]:
    """Every batch there is when it is stopped."""
    source.stop()
    return list(source.batches(lambda unit: POSITIONS.get(unit, 0)))


def test_who_asks_later_sends_the_unit_and_the_one_before_him_no_more() -> None:
    source, old, new = make_source(), Heard(), Heard()
    assert source.ask(old)
    assert source.offer(old, read_frame(b"5\na", 1))
    assert source.ask(new)
    assert not source.offer(old, read_frame(b"6\nb", 1))
    assert source.offer(new, read_frame(b"6\nc", 1))
    source.leave(old)  # he leaves late: it is not his unit any more
    assert source.offer(new, read_frame(b"7\nd", 1))
    first, second = drained(source)
    assert [first.raw([0]), second.raw([0, 1])] == [[b"a"], [b"c", b"d"]]


def test_who_takes_over_hears_his_position_when_what_was_sent_before_is_decided() -> None:
    source, old, new = make_source(), Heard(), Heard()
    source.ask(old)
    source.offer(old, read_frame(b"5\na", 1))
    source.ask(new)
    source.stop()
    heard = [(old.began[:], new.began[:]) for _ in source.batches(lambda unit: 5)]
    assert heard == [([5], [])]
    assert new.began == [5]


def test_a_batch_has_each_units_records_in_order_with_the_time_each_was_received() -> None:
    source, desk, feed = make_source(), Heard(), Heard("ws:feed/trades")
    for sender in (desk, feed):
        source.ask(sender)
    source.offer(desk, read_frame(b"5 2\na\nb", 10))
    source.offer(feed, read_frame(b"0\nc", 20))
    source.offer(desk, read_frame(b"4 5\n?\n?\n?\nd\ne", 30).behind(7))
    (batch,) = drained(source)
    assert batch.spans == [Span("ws:desk/trades", 5, 9, 4), Span("ws:feed/trades", 0, 1, 1)]
    assert batch.raw(range(5)) == [b"a", b"b", b"c", b"d", b"e"]
    assert batch.provenance.rows() == [
        (10, "ws:desk/trades", 5, None),
        (10, "ws:desk/trades", 6, None),
        (20, "ws:feed/trades", 0, None),
        (30, "ws:desk/trades", 7, None),
        (30, "ws:desk/trades", 8, None),
    ]


def test_no_batch_has_more_records_than_it_may_but_for_a_frame_that_has_more_alone() -> None:
    source, desk = make_source(TICKLAKE_BATCH_ROWS=4), Heard()
    source.ask(desk)
    first = 5
    for size in (1, 2, 2, 6, 1):
        source.offer(desk, read_frame(b"%d %d\n%b" % (first, size, b"x\n" * size), 1))
        first += size
    batches = drained(source)
    assert [batch.size for batch in batches] == [3, 2, 6, 1]
    spans = [span for batch in batches for span in batch.spans]
    assert all(one.next == other.first for one, other in pairwise(spans))


def test_after_a_failure_nothing_of_anybody_is_taken_until_he_asks_again() -> None:
    freed: list[int] = []
    source, desk, feed = make_source(freed), Heard(), Heard("ws:feed/trades")
    frames = [read_frame(b"5\na", 1), read_frame(b"0\nb", 1)]
    for sender, frame in zip((desk, feed), frames, strict=True):
        source.ask(sender)
        source.offer(sender, frame)
    source.fail("the disk is full")
    assert (desk.failures, feed.failures) == (["the disk is full"], ["the disk is full"])
    assert freed == [sum(map(weight_of, frames))]
    assert not source.offer(desk, read_frame(b"6\nc", 1))
    again = Heard()
    assert source.ask(again)
    assert source.offer(again, read_frame(b"5\na", 1))
    assert [batch.size for batch in drained(source)] == [1]
    assert again.began == [5]


def test_a_source_that_is_stopped_takes_nothing_more_and_wakes_who_waits() -> None:
    source, desk = make_source(), Heard()
    waiting = threading.Thread(target=lambda: list(source.batches(lambda unit: 0)))
    waiting.start()
    assert source.ask(desk)
    source.stop()
    waiting.join(10)
    assert not waiting.is_alive()
    assert not source.offer(desk, read_frame(b"0\na", 1))
    assert not source.ask(Heard())
