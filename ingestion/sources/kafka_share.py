"""Which partitions a source reads: all that exist, or its share of a consumer group."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ingestion.sources.kafka_watch import listed
from lake.kafka_client import Partition

log = structlog.get_logger()

CLOSE_SECONDS = 3.0

Config = Mapping[str, str | int | float | bool]
TakeUp = Callable[[Collection[Partition]], Mapping[Partition, int]]  # -> offsets to read from
LetGo = Callable[[Collection[Partition]], None]


class Share(Protocol):
    """The partitions that are read."""

    consumer: Consumer | None

    def keep_up(self, existing: Collection[Partition]) -> None:
        """Read what there is by now; `existing` are all partitions that the broker has."""

    def sift(self, messages: list[Message]) -> list[Message]:
        """The messages that are ours to land, of those that one poll brought."""


class Everything:
    """Every partition, as one process reads them that lands what is there and ends."""

    def __init__(self, config: Config, take_up: TakeUp) -> None:
        self.consumer: Consumer | None = None
        self._config = config
        self._take_up = take_up
        self._read: set[Partition] = set()

    def keep_up(self, existing: Collection[Partition]) -> None:
        """Read the partitions that are new."""
        new = [partition for partition in existing if partition not in self._read]
        if not new:
            return
        offsets = self._take_up(new)
        if self.consumer is None:
            self.consumer = Consumer(self._config)
        self.consumer.incremental_assign(_places(offsets))
        self._read.update(new)

    def sift(self, messages: list[Message]) -> list[Message]:
        """All of them: nobody else reads these partitions in our place."""
        return messages


class GroupShare:
    """What the group gives to this process. It may take it back between any two polls.

    The positions remain the table's: what is given is read from where the table stands, and what
    is taken back is forgotten unless it is committed. The next owner reads it again.
    """

    def __init__(self, config: Config, take_up: TakeUp, let_go: LetGo) -> None:
        self.consumer: Consumer | None = None
        self._config = {**config, "partition.assignment.strategy": "cooperative-sticky"}
        self._take_up = take_up
        self._let_go = let_go
        self._subscribed: list[str] = []
        self._offsets: dict[Partition, int] = {}
        self._moved: set[Partition] = set()  # given or taken back during the poll under way

    def keep_up(self, existing: Collection[Partition]) -> None:
        """Have the group divide the topics that exist by now; partitions it sees by itself."""
        names = sorted({topic for topic, _ in existing})
        if names == self._subscribed:
            return
        if self.consumer is None:
            self.consumer = Consumer(self._config)
        if names:
            self.consumer.subscribe(
                names, on_assign=self._given, on_revoke=self._taken, on_lost=self._lost
            )
        else:
            self.consumer.unsubscribe()
        self._subscribed = names

    def sift(self, messages: list[Message]) -> list[Message]:
        """Without those of partitions that moved during this very poll.

        Whether such a message was fetched before or after the move cannot be seen, so it is left,
        and what we have now is read from its beginning.
        """
        if not self._moved:
            return messages
        moved, self._moved = self._moved, set()
        kept = [m for m in messages if (m.topic(), m.partition()) not in moved]
        if len(kept) < len(messages):
            assert self.consumer is not None
            for partition in moved & self._offsets.keys():
                self.consumer.seek(TopicPartition(*partition, self._offsets[partition]))
        return kept

    def _given(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is not self.consumer:
            return
        given = _partitions(places)
        offsets = self._take_up(given)
        consumer.incremental_assign(_places(offsets))
        self._offsets |= offsets
        self._moved.update(given)
        if given:
            log.info("partitions assigned", partitions=listed(given))

    def _taken(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is self.consumer:
            log.info("partitions revoked", partitions=listed(_partitions(places)))
        self._give_up(consumer, places)

    def _lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """The group had given them to others before we were asked, e.g. after a long sleep."""
        if consumer is self.consumer:
            log.warning("partitions lost", partitions=listed(_partitions(places)))
        self._give_up(consumer, places)

    def _give_up(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.incremental_unassign(places)
        if consumer is not self.consumer:  # one that is being closed, aside
            return
        taken = _partitions(places)
        self._let_go(taken)
        for partition in taken:
            self._offsets.pop(partition, None)
        self._moved.update(taken)


def leave(share: Share) -> None:
    """Leave the broker; one that has gone is not waited for.

    librdkafka's close waits without end for the answer to a commit that was under way.
    """
    consumer, share.consumer = share.consumer, None
    if consumer is None:
        return
    leaving = threading.Thread(target=_close, args=(consumer,), daemon=True)
    leaving.start()
    leaving.join(CLOSE_SECONDS)


def _close(consumer: Consumer) -> None:
    try:
        consumer.close()
    except KafkaException as error:
        log.warning("the consumer did not leave in order", why=error.args[0].str())


def _places(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(*partition, offset) for partition, offset in offsets.items()]


def _partitions(places: Sequence[TopicPartition]) -> list[Partition]:
    return [(place.topic, place.partition) for place in places]
