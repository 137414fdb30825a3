"""What was heard of a dataset and has not landed, taken in every few milliseconds.

The thread that ticks here never reads bronze and never waits for the one that does (`lane.py`).
What passes between the two is replaced whole and never changed.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import polars as pl

from contracts.base import Contract
from ingestion.sources.kafka_records import Poll
from ingestion.speed.settled import Settled
from ingestion.speed.tentative import Heard, Piece, Tentative

# More than this at once is a backlog: it settles within a second, decoding it twice would slow it.
MOST_HEARD = 25_000

# Dataset, and when the rows that are in its candles now were received (ns since epoch UTC).
Taken = Callable[[str, pl.Series], None]


class Candles(NamedTuple):
    """The open windows at a moment: what is settled, and pieces of what is not."""

    settled: Settled
    pieces: tuple[Piece, ...]


class Hearing:
    """One dataset's records on their way."""

    def __init__(self, contract: Contract, max_record_bytes: int, taken: Taken | None) -> None:
        self.settled: Settled | None = None  # given by the settling thread
        self.candles: Candles | None = None  # for it to show; None: nothing is known
        self._dataset = contract.dataset
        self._tentative = Tentative(contract, max_record_bytes)
        self._taken = taken or (lambda *_: None)
        self._is_useless = threading.Event()  # what was heard so far
        self._heard: deque[Heard] = deque()
        self._waiting = 0  # records in it
        self._guard = threading.Lock()

    def hear(self, topic: str, poll: Poll, units: Mapping[int, str]) -> None:
        """Take note of what was polled; by the polling thread: it does nothing else."""
        with self._guard:
            if self._waiting + len(poll) > MOST_HEARD:
                self._heard.clear()
                self._waiting = 0
            self._heard.append(Heard(topic, poll, units))
            self._waiting += len(poll)

    def begin_anew(self) -> None:
        """Have no candles until something is settled again; by the settling thread."""
        self.settled = None
        self._is_useless.set()

    def tick(self) -> None:
        """Take in what was heard, and drop what has settled."""
        settled = self.settled
        if self._is_useless.is_set():
            self.forget()
            if settled is not None:
                self._is_useless.clear()
        if settled is None:
            return
        heard = self._take_heard()
        if heard:
            received = self._tentative.add(heard, settled)
            self._taken(self._dataset, received)
        if self.candles is None or self.candles.settled is not settled:
            self._tentative.settle(settled)
            self.candles = Candles(settled, self._tentative.pieces)
        elif self.candles.pieces is not self._tentative.pieces:
            self.candles = Candles(settled, self._tentative.pieces)

    def forget(self) -> None:
        """Drop everything that was heard."""
        self.candles = None
        self._tentative.forget()
        self._take_heard()

    def _take_heard(self) -> list[Heard]:
        with self._guard:
            heard = list(self._heard)
            self._heard.clear()
            self._waiting = 0
        return heard
