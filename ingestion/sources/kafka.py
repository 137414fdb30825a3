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
from ingestion.sources.kafka_records import provenance_of, values_of
from ingestion.sources.kafka_watch import PositionAhead, Watch, listed, not_in_topic
from lake.bronze import Span
from lake.settings import Settings

POLL_RECORDS = 5_000  # librdkafka hands over fewer per call more cheaply than very many
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
        pending: list[Message] = []
        first_at = 0.0
        while True:
            self._take_up_new(positions)
            if self._consumer is None or self._watch is None:  # no topic exists
                if not self.follow:
                    return
                yield None
                continue
            asked = min(POLL_RECORDS, self.settings.batch_rows - len(pending))
            answers = self._consumer.consume(asked, 0 if self.follow else POLL_SECONDS)
            records, ends = _sorted_out(answers)
            self._watch.hear(bool(answers), ends)
            self._watch.refuse_if_ahead(self.position)
            if records and not pending:
                first_at = time.monotonic()
            pending += records
            drained = not self.follow and not self._watch.open
            full = len(pending) >= self.settings.batch_rows
            waited = bool(pending) and time.monotonic() - first_at >= self.settings.batch_seconds
            if pending and (full or waited or drained):
                yield from self._batches_of(pending)
                pending = []
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

    def _batches_of(self, messages: list[Message]) -> Iterator[Batch]:
        """Two topics are two feeds with ids of their own: no batch has records of both."""
        topics = {topic for topic, _ in self.position}
        if len(topics) == 1:
            yield self._batch(topics.pop(), messages)
            return
        found: defaultdict[str, list[Message]] = defaultdict(list)
        for message in messages:
            found[message.topic()].append(message)
        for topic in sorted(found):
            yield self._batch(topic, found.pop(topic))

    def _batch(self, topic: str, messages: list[Message]) -> Batch:
        units = {n: unit for (name, n), unit in self._unit.items() if name == topic}
        records = values_of(messages)
        provenance = provenance_of(messages, units)
        return Batch(
            contract=self.contract,
            source=topic,
            provenance=provenance,
            spans=self._spans(provenance),
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_json, self.contract, records, self.settings.max_record_bytes),
        )

    def _spans(self, provenance: pl.DataFrame) -> list[Span]:
        """What the batch consumes of each partition; the next one starts behind it."""
        read = provenance.group_by("unit").agg(pl.col("position").max(), rows=pl.len())
        spans = []
        for unit, last, rows in sorted(read.iter_rows()):
            partition = self._partition[unit]
            spans.append(Span(unit, self.position[partition], last + 1, rows))
            self.position[partition] = last + 1
        return spans


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
