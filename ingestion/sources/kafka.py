"""Kafka as a source: positions come from the Delta table, never from the consumer group.

The group's committed offset is written after each durable batch, as advice for lag monitors.
"""

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


class BrokerUnreachable(RuntimeError):
    """No broker answered in time."""


class PositionAhead(RuntimeError):
    """The table is ahead of the topic: the topic was recreated, or this is another broker."""


def unit_of(topic: str, number: int) -> str:
    """Name of a topic-partition as positions count in it."""
    return f"kafka:{topic}/{number}"


class KafkaSource:
    """One dataset's topic, all partitions, from where the table stands."""

    def __init__(self, contract: Contract, settings: Settings, *, follow: bool) -> None:
        self.contract = contract
        self.settings = settings
        self.follow = follow
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
        position = {number: positions(unit_of(self.contract.topic, number)) for number in partitions}
        self._assign(position)
        ended: set[int] = set()
        pending: list[Message] = []
        first_at = 0.0
        while True:
            records, ends = self._poll()
            ended = (ended | ends) - {record.partition() for record in records}
            if records and not pending:
                first_at = time.monotonic()
            pending += records
            drained = len(ended) == len(partitions)
            full = len(pending) >= self.settings.batch_rows
            waited = bool(pending) and time.monotonic() - first_at >= self.settings.batch_seconds
            if pending and (full or waited or (drained and not self.follow)):
                yield self._batch(pending, position)
                pending = []
            elif not pending:
                if drained and not self.follow:
                    return
                yield None

    def acknowledge(self, batch: Batch) -> None:
        """Tell the group how far the table is; a failure costs nothing but the advice."""
        offsets = [
            TopicPartition(self.contract.topic, int(span.unit.rpartition("/")[2]), span.next)
            for span in batch.spans
        ]
        self.consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave the broker."""
        self.consumer.close()

    def _partitions(self) -> list[int]:
        try:
            found = self.consumer.list_topics(self.contract.topic, self.settings.kafka_timeout_s)
        except KafkaException as error:
            raise BrokerUnreachable(
                f"no Kafka broker answers at {self.settings.kafka_bootstrap} within "
                f"{self.settings.kafka_timeout_s:g} s ({error}); start one with `make broker` "
                "or set TICKLAKE_KAFKA_BOOTSTRAP"
            ) from error
        topic = found.topics[self.contract.topic]
        if topic.error is not None:
            if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _assign(self, position: dict[int, int]) -> None:
        self.consumer.assign(
            [TopicPartition(self.contract.topic, number, at) for number, at in position.items()]
        )

    def _poll(self) -> tuple[list[Message], set[int]]:
        records, ends = [], set()
        for message in self.consumer.consume(POLL_RECORDS, POLL_SECONDS):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends.add(message.partition())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise PositionAhead(
                    f"{message.topic()}/{message.partition()}: the position of the table is not "
                    f"in the topic ({error.str()}). The topic was recreated, has forgotten more "
                    "than was landed, or TICKLAKE_KAFKA_BOOTSTRAP names another broker. Nothing "
                    "was landed; see README, Troubleshooting"
                )
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
            spans.append(Span(unit_of(topic, number), position[number], following, count[number]))
            position[number] = following
        records = [message.value() or b"" for message in messages]
        units = {number: unit_of(topic, number) for number in last}
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
