"""Kafka as a source: positions come from the Delta table, never from the consumer group.

The group's committed offset is written after each durable batch, as advice for lag monitors.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.kafka_client import BrokerUnreachable, Known, Partition, Topics, client_config
from ingestion.sources.base import Positions
from ingestion.sources.kafka_records import Pending, Read
from ingestion.sources.kafka_watch import PositionAhead, Watch, listed, not_in_topic
from lake.bronze import Span
from lake.settings import Settings

POLL_RECORDS = 500  # what the processor's cache holds: thousands cost twice as much each
POLL_SECONDS = 0.05
CLOSE_SECONDS = 3.0


class ClusterChanged(RuntimeError):
    """Another cluster answers at the address: offsets of the first mean nothing there."""


def unit_of(cluster: str, topic: str, number: int) -> str:
    """Name of a topic-partition as positions count in it.

    The cluster's own id is part of it: offsets of two clusters are two different things, also
    when the second answers at the address of the first.
    """
    return f"kafka:{cluster}/{topic}/{number}"


class KafkaSource:
    """One dataset's topics, aliases included, all partitions, from where the table stands.

    A topic that does not exist is no error. With `follow` it is taken up when it appears, as is
    a new partition; `topics.refresh()` is what finds them.
    """

    def __init__(
        self, contract: Contract, settings: Settings, *, follow: bool, topics: Topics | None = None
    ) -> None:
        self.contract = contract
        self.settings = settings
        self.follow = follow
        self.topics = topics or Topics(settings)
        self.position: dict[Partition, int] = {}  # first offset not handed over
        self._unit: dict[Partition, str] = {}
        self._partition: dict[str, Partition] = {}
        self._known: Known | None = None
        self._consumer: Consumer | None = None
        self._watch: Watch | None = None

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Batches of one topic, at most batch_rows records or batch_seconds, until all ends.

        With `follow` it never ends and never waits: it yields None when a poll brought less than
        it could, and whoever asks sets the pace.
        """
        pending: defaultdict[str, Pending] = defaultdict(Pending)
        count = 0
        first_at = 0.0
        while True:
            self._take_up_new(positions)
            if self._consumer is None or self._watch is None:  # no topic exists
                if not self.follow:
                    return
                yield None
                continue
            asked = min(POLL_RECORDS, self.settings.batch_rows - count)
            answers = self._consumer.consume(asked, 0 if self.follow else POLL_SECONDS)
            records, ends = _sorted_out(answers)
            self._watch.hear(bool(answers), ends)
            self._watch.refuse_if_ahead(self.position)
            if records and not count:
                first_at = time.monotonic()
            count += self._take(records, pending)
            drained = not self.follow and not self._watch.open
            full = count >= self.settings.batch_rows
            waited = count > 0 and time.monotonic() - first_at >= self.settings.batch_seconds
            if count and (full or waited or drained):
                for topic in sorted(pending):  # a feed with ids of its own: no batch has two
                    yield self._batch(topic, pending.pop(topic))
                count = 0
                self._watch.start_listening()
            elif len(answers) < asked:
                yield None
            if drained:
                return
            if not self.follow and self._watch.silence_s() > self.settings.kafka_timeout_s:
                raise BrokerUnreachable(self._silent())

    def acknowledge(self, batch: Batch) -> None:
        """Tell the group how far the table is; a failure costs nothing but the advice."""
        assert self._consumer is not None
        offsets = [TopicPartition(*self._partition[span.unit], span.next) for span in batch.spans]
        self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave the broker; one that has gone is not waited for.

        librdkafka's close waits without end for the answer to a commit that was under way.
        """
        if self._consumer is None:
            return
        leaving = threading.Thread(target=self._consumer.close, daemon=True)
        leaving.start()
        leaving.join(CLOSE_SECONDS)

    def _take_up_new(self, positions: Positions) -> None:
        """Read, too, what the broker has by now and had not when it was last asked."""
        known = self.topics.known
        if known is self._known:
            return
        if self._known is not None and known.cluster != self._known.cluster:
            raise ClusterChanged(
                f"{self.settings.kafka_bootstrap} was cluster {self._known.cluster} and is "
                f"{known.cluster} now; what was landed stays, start again to land from this one"
            )
        self._known = known
        new = [found for found in self.topics.of(self.contract) if found not in self.position]
        if not new:
            return
        for partition in new:
            unit = unit_of(known.cluster, *partition)
            self._unit[partition], self._partition[unit] = unit, partition
            self.position[partition] = positions(unit)
        if self._consumer is None or self._watch is None:
            self._consumer = Consumer(_consumer_config(self.settings, self.contract))
            self._watch = Watch(self._consumer, new)
        self._consumer.incremental_assign(
            [TopicPartition(*partition, self.position[partition]) for partition in new]
        )

    def _silent(self) -> str:
        assert self._watch is not None
        return (
            f"the Kafka broker at {self.settings.kafka_bootstrap} fell silent: nothing of "
            f"{listed(self._watch.open)} for {self.settings.kafka_timeout_s:g} s; "
            "what was committed stays, land again to go on"
        )

    def _take(self, messages: list[Message], pending: dict[str, Pending]) -> int:
        """Put messages to those of their topic that wait already; returns how many there were."""
        topics = {topic for topic, _ in self.position}
        if len(topics) == 1:
            if messages:
                pending[topics.pop()].add(messages)
            return len(messages)
        for topic in topics:
            mine = [message for message in messages if message.topic() == topic]
            if mine:
                pending[topic].add(mine)
        return len(messages)

    def _batch(self, topic: str, pending: Pending) -> Batch:
        units = {n: unit for (name, n), unit in self._unit.items() if name == topic}
        records = pending.records()
        return Batch(
            contract=self.contract,
            source=topic,
            provenance=pending.provenance(units),
            spans=[self._span(topic, read) for read in pending.read()],
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_json, self.contract, records, self.settings.max_record_bytes),
        )

    def _span(self, topic: str, read: Read) -> Span:
        """What a batch consumes of a partition; the next one starts behind it."""
        partition = (topic, read.number)
        first, self.position[partition] = self.position[partition], read.last + 1
        return Span(self._unit[partition], first, read.last + 1, read.records)


def _consumer_config(settings: Settings, contract: Contract) -> dict[str, str | int | float | bool]:
    return {
        **client_config(settings),
        "group.id": f"{settings.kafka_group}.{contract.dataset}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 5,  # the default of 1 s throttles a fast reader
        # The embedded broker answers only when this has passed, news or not.
        "fetch.wait.max.ms": 50,
        "session.timeout.ms": 6000,
    }


def _sorted_out(answers: list[Message]) -> tuple[list[Message], set[Partition]]:
    """Records, and the partitions that came to their end."""
    records, ends = [], set()
    for message in answers:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends.add((message.topic(), message.partition()))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            where = (message.topic(), message.partition())
            raise PositionAhead(not_in_topic(where, error.str()))
        elif error.fatal() or not error.retriable():
            raise KafkaException(error)
    return records, ends
