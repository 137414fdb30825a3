"""Kafka as a source: positions come from the Delta table, never from the consumer group.

The group divides the partitions among those who follow. Its committed offset is written after
each durable batch, as advice for lag monitors.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.sources.base import Positions
from ingestion.sources.kafka_consumer import consumer_config, sorted_out
from ingestion.sources.kafka_origin import Origins, lost
from ingestion.sources.kafka_records import Pending, Poll, Read
from ingestion.sources.kafka_share import Everything, GroupShare, Share, leave
from ingestion.sources.kafka_watch import PositionAhead, Watch, listed, not_in_topic
from ingestion.wire import decode_wire
from lake.bronze import Span
from lake.kafka_client import BrokerUnreachable, Known, Partition, Topics
from lake.settings import Settings

POLL_RECORDS = 500  # what the processor's cache holds: thousands cost twice as much each
POLL_SECONDS = 0.05

# What was polled: the topic, the records, the unit of each partition number.
Hear = Callable[[str, Poll, Mapping[int, str]], None]


class ClusterChanged(RuntimeError):
    """Another cluster answers at the address: offsets of the first mean nothing there."""


class KafkaSource:
    """One dataset's topics, aliases included, from where the table stands.

    It reads all partitions to their ends, or, with `follow`, those that the consumer group gives
    it, without end. A topic that does not exist is no error. With `follow` it is taken up when it
    appears, as is a new partition; `topics.refresh()` is what finds them.

    `buffer_mb` bounds what is fetched ahead; without it, TICKLAKE_KAFKA_BUFFER_MB does. `hear` is
    told of records as soon as they are polled; they land whatever it does.
    """

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        *,
        follow: bool,
        topics: Topics | None = None,
        buffer_mb: float | None = None,
        hear: Hear | None = None,
    ) -> None:
        self._hear = hear
        self.contract = contract
        self.settings = settings
        self.follow = follow
        self.topics = topics or Topics(settings)
        self.position: dict[Partition, int] = {}  # first offset not handed over
        self._config = consumer_config(settings, contract, buffer_mb or settings.kafka_buffer_mb)
        self._origins = Origins(settings, self.topics)
        self._known: Known | None = None
        self._begin()

    def _begin(self) -> None:
        self.position.clear()
        self._unit: dict[Partition, str] = {}
        self._partition: dict[str, Partition] = {}
        self._begins: dict[Partition, int] = {}  # the first offset that is ours to read
        self._pending: defaultdict[str, Pending] = defaultdict(Pending)
        self._count = 0
        self._first_at = 0.0
        self._seen: Known | None = None
        self._watch = Watch()
        self._share: Share = (
            GroupShare(self._config, self._take_up, self._let_go)
            if self.follow
            else Everything(self._config, self._take_up)
        )

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Batches of one topic, at most batch_rows records or batch_seconds, until all ends.

        With `follow` it never ends and never waits: it yields None when a poll brought less than
        it could, and whoever asks sets the pace.
        """
        self._positions = positions
        while True:
            self._keep_up()
            if self._share.consumer is None:  # no topic exists
                if not self.follow:
                    return
                yield None
                continue
            asked = min(POLL_RECORDS, self.settings.batch_rows - self._count)
            answers = self._share.consumer.consume(asked, 0 if self.follow else POLL_SECONDS)
            records, ends, trouble = sorted_out(answers)
            self._watch.hear(bool(answers), ends)
            self._take(self._share.sift(records))
            if trouble is not None:
                yield from self._hand_over()
                raise self._off_the_log(trouble)
            self._refuse_if_ahead(self._share.consumer)
            drained = not self.follow and not self._watch.open
            if self._count and (self._is_due() or drained):
                yield from self._hand_over()
                self._watch.start_listening()
            elif len(answers) < asked:
                yield None
            if drained:
                return
            if not self.follow and self._watch.silence_s() > self.settings.kafka_timeout_s:
                raise BrokerUnreachable(self._silent())

    @property
    def pending(self) -> int:
        """Records that were read and not handed over yet."""
        return self._count

    def acknowledge(self, batch: Batch) -> None:
        """Tell the group how far the table is; a failure costs nothing but the advice."""
        if self._share.consumer is None:
            return
        offsets = [TopicPartition(*self._partition[span.unit], span.next) for span in batch.spans]
        try:
            self._share.consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            return

    def start_over(self) -> None:
        """Forget what is not committed, leave the group, and join it again with the next batch."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Leave the broker; one that has gone is not waited for."""
        leave(self._share)

    def _is_due(self) -> bool:
        full = self._count >= self.settings.batch_rows
        return full or time.monotonic() - self._first_at >= self.settings.batch_seconds

    def _keep_up(self) -> None:
        """Read, too, what the broker has by now and had not when it was last asked."""
        known = self.topics.known
        if known is self._seen:
            return
        if self._known is not None and known.cluster != self._known.cluster:
            raise ClusterChanged(
                f"{self.settings.kafka_bootstrap} was cluster {self._known.cluster} and is "
                f"{known.cluster} now; what was landed stays, start again to land from this one"
            )
        self._known = self._seen = known
        self._share.keep_up(self.topics.of(self.contract))

    def _take_up(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Begin to read partitions where the table stands; returns the offsets to read from."""
        found = self._origins.admit(partitions)
        offsets = {}
        for topic, number in partitions:
            partition, origin = (topic, number), found[topic]
            unit = origin.unit(number)
            self._unit[partition], self._partition[unit] = unit, partition
            self.position[partition] = self._positions(unit)
            self._begins[partition] = origin.starts.get(number, 0)
            offsets[partition] = max(self.position[partition], self._begins[partition])
        self._watch.open.update(partitions)
        return offsets

    def _let_go(self, partitions: Collection[Partition]) -> None:
        """Forget partitions and what of them is pending, once what is being landed has landed.

        Asking where the table stands waits for that; without it the next owner would begin before
        our commit, and be refused.
        """
        for partition in partitions:
            self._positions(self._unit[partition])
        for topic, number in partitions:
            self.position.pop((topic, number), None)
            if topic in self._pending:
                self._pending[topic].drop({number})
        self._count = sum(len(pending) for pending in self._pending.values())
        self._watch.open.difference_update(partitions)

    def _refuse_if_ahead(self, consumer: Consumer) -> None:
        try:
            self._watch.refuse_if_ahead(consumer, self.position)
        except PositionAhead:
            for topic in sorted({topic for topic, _ in self.position}):
                self._origins.confirm(topic)  # a topic made anew is called by that name
            raise

    def _off_the_log(self, trouble: Message) -> Exception:
        """The error for a position that the broker does not have."""
        where = (trouble.topic(), trouble.partition())
        self._origins.confirm(trouble.topic())
        wanted = {p: max(at, self._begins[p]) for p, at in self.position.items()}
        firsts = self.topics.first_offsets(wanted)
        return lost(wanted, firsts) or PositionAhead(not_in_topic(where, trouble.error().str()))

    def _silent(self) -> str:
        return (
            f"the Kafka broker at {self.settings.kafka_bootstrap} fell silent: nothing of "
            f"{listed(self._watch.open)} for {self.settings.kafka_timeout_s:g} s; "
            "what was committed stays, land again to go on"
        )

    def _take(self, messages: list[Message]) -> None:
        """Put messages to those of their topic that wait already."""
        if not messages:
            return
        if not self._count:
            self._first_at = time.monotonic()
        topics = {topic for topic, _ in self.position}
        if len(topics) == 1:
            self._keep(topics.pop(), messages)
        else:
            for topic in topics:
                mine = [message for message in messages if message.topic() == topic]
                if mine:
                    self._keep(topic, mine)
        self._count += len(messages)

    def _keep(self, topic: str, messages: list[Message]) -> None:
        poll = self._pending[topic].add(messages)
        if self._hear:
            self._hear(topic, poll, self._units_of(topic))

    def _units_of(self, topic: str) -> dict[int, str]:
        return {n: unit for (name, n), unit in self._unit.items() if name == topic}

    def _hand_over(self) -> Iterator[Batch]:
        """All that is pending, topic by topic: each is a feed with ids of its own."""
        for topic in sorted(topic for topic, pending in self._pending.items() if len(pending)):
            self._origins.confirm(topic)
            pending = self._pending.pop(topic)
            self._count -= len(pending)
            yield self._batch(topic, pending)

    def _batch(self, topic: str, pending: Pending) -> Batch:
        records = pending.records()
        return Batch(
            contract=self.contract,
            source=topic,
            provenance=pending.provenance(self._units_of(topic)),
            spans=[self._span(topic, read) for read in pending.read()],
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_wire, self.contract, records, self.settings.max_record_bytes),
        )

    def _span(self, topic: str, read: Read) -> Span:
        """What a batch consumes of a partition; the next one starts behind it."""
        partition = (topic, read.number)
        first, self.position[partition] = self.position[partition], read.last + 1
        return Span(self._unit[partition], first, read.last + 1, read.records)
