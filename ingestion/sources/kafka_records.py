"""Messages of the Kafka client as columns: bytes, positions, times.

A message is taken apart right after its poll and let go. Tens of thousands of message objects kept
until a batch is full fall out of the processor's cache and cost twice as much to make and to read.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import polars as pl
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from ingestion.laid_out import Ints, LaidOut, Mask, lengths_of

NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Read:
    """What of one partition is pending: the offsets that bound it and the number of records."""

    number: int
    first: int
    last: int
    records: int


@dataclass(frozen=True)
class Poll:
    """The records of one poll. `times` are (kind, ms) pairs, flat."""

    lines: bytes
    lengths: Ints
    numbers: Ints
    offsets: Ints
    times: Ints
    delivery_units: list[str | None] | None

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass
class Pending:
    """Records of one topic that were polled and have not landed, in the order they came."""

    polls: list[Poll] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.polls))

    def add(self, messages: Sequence[Message]) -> Poll:
        """Take over the messages of one poll; a tombstone is an empty record."""
        count = len(messages)
        values = [message.value() or b"" for message in messages]
        times = chain.from_iterable(message.timestamp() for message in messages)
        poll = Poll(
            lines=b"\n".join(values),
            lengths=lengths_of(values),
            numbers=np.fromiter(map(Message.partition, messages), np.int64, count),
            offsets=np.fromiter(map(Message.offset, messages), np.int64, count),
            times=np.fromiter(times, np.int64, 2 * count),
            delivery_units=_delivery_units(messages),
        )
        self.polls.append(poll)
        return poll

    def drop(self, numbers: Set[int]) -> None:
        """Forget the records of these partitions: they are somebody else's now."""
        kept = (_without(poll, numbers) for poll in self.polls)
        self.polls = [poll for poll in kept if len(poll)]

    def read(self) -> Iterator[Read]:
        """What is pending, partition by partition."""
        numbers, offsets = self._joined("numbers"), self._joined("offsets")
        for number in np.unique(numbers).tolist():
            mine = offsets[numbers == number]
            yield Read(number, int(mine[0]), int(mine[-1]), len(mine))

    def records(self) -> LaidOut:
        """The records, laid end to end."""
        return LaidOut.joined([poll.lines for poll in self.polls], self._joined("lengths"))

    def provenance(self, units: Mapping[int, str]) -> pl.DataFrame:
        """A row per record; `units` names the unit of each partition number."""
        names = pl.Series("unit", [units.get(number) for number in range(max(units) + 1)])
        kinds, milliseconds = self._joined("times").reshape(-1, 2).T
        received = pl.Series("recv_ts_ns", milliseconds * NS_PER_MS)
        known = kinds != TIMESTAMP_NOT_AVAILABLE
        return pl.DataFrame(
            [
                received if known.all() else received.set(pl.Series(~known), None),
                names.gather(self._joined("numbers")),
                pl.Series("position", self._joined("offsets")),
                self._delivery_units(),
            ]
        )

    def _joined(self, column: str) -> Ints:
        joined: Ints = np.concatenate([getattr(poll, column) for poll in self.polls])
        return joined

    def _delivery_units(self) -> pl.Series:
        if all(poll.delivery_units is None for poll in self.polls):
            return pl.repeat(None, len(self), dtype=pl.String, eager=True).alias("delivery_unit")
        found = chain.from_iterable(p.delivery_units or [None] * len(p) for p in self.polls)
        return pl.Series("delivery_unit", list(found), dtype=pl.String)


def _delivery_units(messages: Sequence[Message]) -> list[str | None] | None:
    headers = [message.headers() for message in messages]
    if not any(headers):
        return None
    return [_delivery_unit(found) if found else None for found in headers]


def _delivery_unit(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """The producer's batch_id header: within it equal records are different events."""
    for name, value in headers:
        if name == "batch_id":
            return None if value is None else value.decode("utf-8", "replace")
    return None


def _without(poll: Poll, numbers: Set[int]) -> Poll:
    keep: Mask = ~np.isin(poll.numbers, list(numbers))
    if keep.all():
        return poll
    places = np.flatnonzero(keep).tolist()
    values = LaidOut.joined([poll.lines], poll.lengths)
    units = poll.delivery_units
    return Poll(
        lines=b"\n".join(values[place] for place in places),
        lengths=poll.lengths[keep],
        numbers=poll.numbers[keep],
        offsets=poll.offsets[keep],
        times=poll.times.reshape(-1, 2)[keep].ravel(),
        delivery_units=units and [units[place] for place in places],
    )
