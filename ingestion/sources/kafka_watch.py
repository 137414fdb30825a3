"""What the broker has said so far: which ends were reached, and whether the table is ahead."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, TopicPartition

from lake.kafka_client import Partition

AHEAD_GRACE_SECONDS = 2.0


class PositionAhead(RuntimeError):
    """The table is ahead of the topic: the topic was recreated, or this is another broker."""


class Watch:
    """What the broker has said of the assigned partitions so far.

    `open` are those whose end was not reached yet. One end is enough: were it taken back by the
    next record, a steady producer would keep a landing that only catches up here for ever.
    """

    def __init__(self) -> None:
        self.open: set[Partition] = set()
        self.start_listening()

    def start_listening(self) -> None:
        """Silence counts from now: until here it was we who were busy."""
        self.heard = self.sound = time.monotonic()

    def hear(self, anything: bool, ends: set[Partition]) -> None:
        """Take note of what a poll brought."""
        if anything:
            self.heard = time.monotonic()
        self.open -= ends

    def silence_s(self) -> float:
        """Seconds since the broker last said anything."""
        return time.monotonic() - self.heard

    def refuse_if_ahead(self, consumer: Consumer, position: Mapping[Partition, int]) -> None:
        """Raise PositionAhead where the table stands beyond the topic's end.

        A broker may answer a fetch beyond the end with nothing at all, neither an error nor the
        end; only the high watermark that comes with the answer gives it away. It may lag behind
        for a moment after a change of leader, hence the grace.
        """
        ends = {partition: _end(consumer, partition) for partition in position}
        ahead = [partition for partition, end in ends.items() if 0 <= end < position[partition]]
        if not ahead:
            self.sound = time.monotonic()
        elif time.monotonic() - self.sound > AHEAD_GRACE_SECONDS:
            first = ahead[0]
            why = f"the table stands at {position[first]}, the topic ends at {ends[first]}"
            raise PositionAhead(not_in_topic(first, why))


def _end(consumer: Consumer, partition: Partition) -> int:
    """High watermark of the last answer, negative before the first one."""
    watermarks: tuple[int, int] = consumer.get_watermark_offsets(
        TopicPartition(*partition), cached=True
    )
    return watermarks[1]


def not_in_topic(partition: Partition, why: str) -> str:
    """The message of PositionAhead."""
    topic, number = partition
    return (
        f"{topic}/{number}: the position of the table is not in the topic ({why}). The topic was "
        "recreated, has forgotten more than was landed, or TICKLAKE_KAFKA_BOOTSTRAP names another "
        "broker. Nothing more was landed; see README, Troubleshooting"
    )


def listed(partitions: Iterable[Partition]) -> str:
    """Partitions as a person reads them: `market.trades.v1 [0, 1], trax-trades [0]`."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for topic, number in sorted(partitions):
        numbers[topic].append(number)
    return ", ".join(f"{topic} {of_topic}" for topic, of_topic in numbers.items())
