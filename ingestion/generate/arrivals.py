"""The datasets of an endless stream side by side, one slice of time after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import polars as pl

from ingestion.generate.clock import Ints
from ingestion.generate.organic import Cycle
from ingestion.generate.plan import Plan
from ingestion.generate.stream import Block

SLICE_MS = 100
# Unhurried by a clock, a slice is as long as it takes to hold this many messages on average:
# the price of looking at a slice is then small beside that of its messages.
SLICE_MESSAGES = 500
SESSION_MS = 23_400_000


@dataclass(frozen=True)
class Messages:
    """Messages of one dataset in the order they arrive: bytes of JSON, keys, arrival in ms."""

    dataset: str
    values: pl.Series
    keys: pl.Series
    recv_ms: Ints

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Chunk:
    """What arrives before `until_ms` (ms since epoch UTC) and was not in the chunk before."""

    until_ms: int
    parts: list[Messages]


def cycles(
    plan: Plan, number: int | None, ramp: bool = False, later_ms: int = 0
) -> Iterator[Cycle]:
    """The first `number` cycles, or one after the other without end."""
    for cycle in count() if number is None else range(number):
        yield Cycle(plan, cycle, ramp, later_ms)


def slice_ms(plan: Plan, datasets: Sequence[str], speed: float | None) -> int:
    """How long a slice is: 100 ms of the clock on the wall, or long enough for some messages."""
    if speed is not None:
        return max(1, round(SLICE_MS * speed))
    sizes = [getattr(plan, name, 0) for name in datasets]
    messages: int = sum(int(size) for size in sizes)
    return max(SLICE_MS, SESSION_MS * SLICE_MESSAGES // max(messages, 1))


def chunks(
    passes: Iterator[Cycle],
    datasets: Sequence[str],
    slice_ms: int,
    begun: Callable[[Cycle], None],
) -> Iterator[Chunk]:
    """The datasets of all cycles by arrival; stragglers of a cycle mix with the next one.

    `begun` is told of each cycle before its first message is handed out.
    """
    readers: list[_Reader] = []
    upcoming = next(passes, None)
    while readers or upcoming:
        heads = [reader.next_ms for reader in readers]
        if upcoming:
            heads.append(upcoming.opens_us // 1000)
        until_ms = (min(heads) // slice_ms + 1) * slice_ms
        while upcoming and upcoming.opens_us // 1000 < until_ms:
            begun(upcoming)
            readers += [_Reader(dataset, upcoming.blocks(dataset)) for dataset in datasets]
            upcoming = next(passes, None)
        parts = [part for reader in readers for part in reader.take(until_ms)]
        readers = [reader for reader in readers if reader.has_more]
        if parts:
            yield Chunk(until_ms, parts)


class _Reader:
    """A dataset of a cycle, handed out up to a moment at a time; encoded a block at a time."""

    def __init__(self, dataset: str, blocks: Iterator[Block]) -> None:
        self._dataset = dataset
        self._blocks = blocks
        self._rest: Messages | None = None
        self._place = 0
        self._load()

    @property
    def has_more(self) -> bool:
        """Is there a message left?"""
        return self._rest is not None

    @property
    def next_ms(self) -> int:
        """When the next message arrives."""
        assert self._rest is not None
        return int(self._rest.recv_ms[self._place])

    def take(self, until_ms: int) -> Iterator[Messages]:
        """What arrives before `until_ms`."""
        while self._rest is not None:
            rest, first = self._rest, self._place
            self._place = int(np.searchsorted(rest.recv_ms, until_ms))
            if self._place > first:
                part = slice(first, self._place)
                yield Messages(rest.dataset, rest.values[part], rest.keys[part], rest.recv_ms[part])
            if self._place < len(rest):
                return
            self._load()

    def _load(self) -> None:
        block = next(self._blocks, None)
        self._place = 0
        self._rest = None
        if block is not None:
            self._rest = Messages(self._dataset, block.values, block.keys, block.recv_ms)
