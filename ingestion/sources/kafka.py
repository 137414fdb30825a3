"""Kafka as a source: positions come from the Delta table, never from the consumer group.

The group's committed offset is written after each durable batch, as advice for lag monitors.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import polars as pl
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.sources.base import Positions
from lake.bronze import Span
from lake.settings import Settings

POLL_RECORDS = 5_000  # librdkafka hands over fewer per call more cheaply than very many
POLL_SECONDS = 0.05
AHEAD_GRACE_SECONDS = 2.0
CLOSE_SECONDS = 3.0


class BrokerUnreachable(RuntimeError):
    """No broker answered in time."""


class PositionAhead(RuntimeError):
    """The table is ahead of the topic: the topic was recreated, or this is another broker."""


def unit_of(cluster: str, topic: str, number: int) -> str:
    """Name of a topic-partition as positions count in it.

    The cluster's own id is part of it: offsets of two clusters are two different things, also
    when the second answers at the address of the first.
    """
    return f"kafka:{cluster}/{topic}/{number}"


class KafkaSource:
    """One dataset's topic, all partitions, from where the table stands."""

    def __init__(self, contract: Contract, settings: Settings, *, follow: bool) -> None:
        self.contract = contract
        self.settings = settings
        self.follow = follow
        self.cluster = ""
        self.consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": f"{settings.kafka_group}.{contract.dataset}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,  # the default of 1 s throttles a fast reader
                # The embedded broker answers only when this has passed, news or not.
                "fetch.wait.max.ms": 50,
                "session.timeout.ms": 6000,
                "log_level": 2,
            },
        )

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Batches of at most batch_rows records or batch_seconds, until every partition ends.

        With `follow` it never ends, and yields None when a poll brought nothing.
        """
        partitions = self._partitions()
        while not partitions:  # the topic does not exist yet
            if not self.follow:
                return
            time.sleep(1.0)
            yield None
            partitions = self._partitions()
        position = {number: positions(self._unit(number)) for number in partitions}
        self._assign(position)
        watch = _Watch(self.consumer, self.contract.topic, partitions)
        pending: list[Message] = []
        first_at = 0.0
        while True:
            records, ends = self._poll(self.settings.batch_rows - len(pending))
            watch.hear(records, ends)
            watch.refuse_if_ahead(position)
            if records and not pending:
                first_at = time.monotonic()
            pending += records
            drained = not self.follow and not watch.open
            full = len(pending) >= self.settings.batch_rows
            waited = bool(pending) and time.monotonic() - first_at >= self.settings.batch_seconds
            if pending and (full or waited or drained):
                yield self._batch(pending, position)
                pending = []
                watch.start_listening()
            elif not pending:
                yield None
            if drained:
                return
            if not self.follow and watch.silence_s() > self.settings.kafka_timeout_s:
                raise BrokerUnreachable(self._silent(sorted(watch.open)))

    def acknowledge(self, batch: Batch) -> None:
        """Tell the group how far the table is; a failure costs nothing but the advice."""
        offsets = [
            TopicPartition(self.contract.topic, int(span.unit.rpartition("/")[2]), span.next)
            for span in batch.spans
        ]
        self.consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave the broker; one that has gone is not waited for.

        librdkafka's close waits without end for the answer to a commit that was under way.
        """
        leaving = threading.Thread(target=self.consumer.close, daemon=True)
        leaving.start()
        leaving.join(CLOSE_SECONDS)

    def _partitions(self) -> list[int]:
        try:
            found = self.consumer.list_topics(self.contract.topic, self.settings.kafka_timeout_s)
        except KafkaException as error:
            raise BrokerUnreachable(
                f"no Kafka broker answers at {self.settings.kafka_bootstrap} within "
                f"{self.settings.kafka_timeout_s:g} s ({error}); start one with `make broker` "
                "or set TICKLAKE_KAFKA_BOOTSTRAP"
            ) from error
        if not found.cluster_id:
            raise BrokerUnreachable(
                f"the broker at {self.settings.kafka_bootstrap} does not name its cluster; "
                "positions are kept per cluster, so nothing can be landed from it"
            )
        self.cluster = found.cluster_id
        topic = found.topics[self.contract.topic]
        if topic.error is not None:
            if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _unit(self, number: int) -> str:
        return unit_of(self.cluster, self.contract.topic, number)

    def _assign(self, position: dict[int, int]) -> None:
        self.consumer.assign(
            [TopicPartition(self.contract.topic, number, at) for number, at in position.items()]
        )

    def _silent(self, partitions: list[int]) -> str:
        return (
            f"the Kafka broker at {self.settings.kafka_bootstrap} fell silent: nothing of "
            f"{self.contract.topic} partitions {partitions} for "
            f"{self.settings.kafka_timeout_s:g} s; what was committed stays, land again to go on"
        )

    def _poll(self, room: int) -> tuple[list[Message], set[int]]:
        """At most `room` records, and the partitions that came to their end."""
        records, ends = [], set()
        for message in self.consumer.consume(min(POLL_RECORDS, room), POLL_SECONDS):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends.add(message.partition())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                where = (message.topic(), message.partition())
                raise PositionAhead(_not_in_topic(*where, error.str()))
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)
        return records, ends

    def _batch(self, messages: list[Message], position: dict[int, int]) -> Batch:
        topic = self.contract.topic
        last: dict[int, int] = {}
        count: defaultdict[int, int] = defaultdict(int)
        for message in messages:
            number = message.partition()
            last[number] = message.offset()
            count[number] += 1
        spans = []
        for number in sorted(last):
            following = last[number] + 1
            spans.append(Span(self._unit(number), position[number], following, count[number]))
            position[number] = following
        records = [message.value() or b"" for message in messages]
        units = {number: self._unit(number) for number in last}
        provenance = pl.DataFrame(
            {
                "recv_ts_ns": [_received(message) for message in messages],
                "unit": [units[message.partition()] for message in messages],
                "position": [message.offset() for message in messages],
                "delivery_unit": [_delivery_unit(message) for message in messages],
            },
            schema={
                "recv_ts_ns": pl.Int64,
                "unit": pl.String,
                "position": pl.Int64,
                "delivery_unit": pl.String,
            },
        )
        return Batch(
            contract=self.contract,
            source=topic,
            provenance=provenance,
            spans=spans,
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_json, self.contract, records, self.settings.max_record_bytes),
        )


class _Watch:
    """What the broker has said of the assigned partitions so far.

    `open` are those whose end was not reached yet. One end is enough: were it taken back by the
    next record, a steady producer would keep a landing that only catches up here for ever.
    """

    def __init__(self, consumer: Consumer, topic: str, partitions: list[int]) -> None:
        self.consumer = consumer
        self.topic = topic
        self.open = set(partitions)
        self.start_listening()

    def start_listening(self) -> None:
        """Silence counts from now: until here it was we who were busy."""
        self.heard = self.sound = time.monotonic()

    def hear(self, records: list[Message], ends: set[int]) -> None:
        """Take note of what a poll brought."""
        if records or ends:
            self.heard = time.monotonic()
        self.open -= ends

    def silence_s(self) -> float:
        """Seconds since the broker last said anything."""
        return time.monotonic() - self.heard

    def refuse_if_ahead(self, position: dict[int, int]) -> None:
        """Raise PositionAhead where the table stands beyond the topic's end.

        A broker may answer a fetch beyond the end with nothing at all, neither an error nor the
        end; only the high watermark that comes with the answer gives it away. It may lag behind
        for a moment after a change of leader, hence the grace.
        """
        ends = {number: self._end(number) for number in position}
        ahead = [number for number, end in ends.items() if 0 <= end < position[number]]
        if not ahead:
            self.sound = time.monotonic()
        elif time.monotonic() - self.sound > AHEAD_GRACE_SECONDS:
            number = ahead[0]
            why = f"the table stands at {position[number]}, the topic ends at {ends[number]}"
            raise PositionAhead(_not_in_topic(self.topic, number, why))

    def _end(self, number: int) -> int:
        """High watermark of the last answer, negative before the first one."""
        partition = TopicPartition(self.topic, number)
        watermarks: tuple[int, int] = self.consumer.get_watermark_offsets(partition, cached=True)
        return watermarks[1]


def _not_in_topic(topic: str | None, number: int | None, why: str) -> str:
    return (
        f"{topic}/{number}: the position of the table is not in the topic ({why}). The topic was "
        "recreated, has forgotten more than was landed, or TICKLAKE_KAFKA_BOOTSTRAP names another "
        "broker. Nothing more was landed; see README, Troubleshooting"
    )


def _received(message: Message) -> int | None:
    kind, milliseconds = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000_000


def _delivery_unit(message: Message) -> str | None:
    """The producer's batch_id header: within it equal records are different events."""
    headers = message.headers()
    if not headers:
        return None
    for name, value in headers:
        if name == "batch_id":
            return str(value, "utf-8", "replace")
    return None
