"""Whether topics are still those that the table's positions count in, and what they lost."""

from collections.abc import Collection, Mapping

import structlog

from lake import origins
from lake.kafka_client import Partition, Topics
from lake.layout import layout
from lake.origins import Origin
from lake.settings import Settings

log = structlog.get_logger()


class TopicRecreated(RuntimeError):
    """The topic was deleted and made anew: its offsets are not those that were landed."""


class TopicGone(RuntimeError):
    """The topic was deleted while it was read."""


class RecordsLost(RuntimeError):
    """The broker has deleted records that were not landed."""


class Origins:
    """What is written down of the topics, held against what the broker says of them now."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self.topics = topics
        self._layout = layout(settings)
        self._admitted: dict[str, Origin] = {}

    def admit(self, partitions: Collection[Partition]) -> dict[str, Origin]:
        """The origins of the partitions' topics; a topic that is read for the first time gets one.

        Raises TopicRecreated, TopicGone, BrokerUnreachable.
        """
        cluster = self.topics.known.cluster
        names = {topic for topic, _ in partitions}
        ids = self.topics.ids(names)
        for name in names:
            known = origins.newest(self._layout, cluster, name)
            if known is None:
                known = self._write_down(cluster, name, ids.get(name, ""))
            self._admitted[name] = known
            self._compare(name, ids)
        return {name: self._admitted[name] for name in names}

    def confirm(self, topic: str) -> None:
        """Make sure that what was read of an admitted topic until now is of that topic.

        Names outlive topics and ids do not, so an id that is unchanged after the records came
        vouches for them. Raises TopicRecreated, TopicGone, BrokerUnreachable.
        """
        if self._admitted[topic].topic_id:
            self._compare(topic, self.topics.ids([topic]))

    def _compare(self, topic: str, ids: Mapping[str, str]) -> None:
        known = self._admitted[topic]
        if topic not in ids:
            raise TopicGone(
                f"{topic} was deleted while it was read; what was committed stays, land again"
            )
        if known.topic_id and ids[topic] and ids[topic] != known.topic_id:
            raise TopicRecreated(
                f"{topic} was deleted and made anew: it has the id {ids[topic]}, what was landed "
                f"came from {known.topic_id} (first read {known.first_read_at}). Its offsets start "
                "again, so nothing more was landed. If the new topic is to be landed from its "
                f"beginning: ticklake ingest --accept-recreated {topic}"
            )

    def _write_down(self, cluster: str, topic: str, topic_id: str) -> Origin:
        starts = starts_of(self.topics, topic)
        if starts:
            log.warning("the topic begins late", topic=topic, first_offsets=starts)
        return origins.record(self._layout, Origin(cluster, topic, topic_id, starts))


def starts_of(topics: Topics, topic: str) -> dict[int, int]:
    """The first offset of each partition that has lost some already."""
    numbers = topics.known.partitions.get(topic, [])
    firsts = topics.first_offsets([(topic, number) for number in numbers])
    return {number: first for (_, number), first in firsts.items() if first > 0}


def lost(position: Mapping[Partition, int], firsts: Mapping[Partition, int]) -> RecordsLost | None:
    """The error for partitions that the broker has only from `firsts` on, behind our position."""
    gaps = [
        f"{topic}/{number}:{position[topic, number]}-{first}"
        for (topic, number), first in sorted(firsts.items())
        if first > position[topic, number]
    ]
    if not gaps:
        return None
    return RecordsLost(
        "the broker has deleted records that were not landed (topic/partition:from-to, the last "
        f"excluded): {', '.join(gaps)}. Nothing more was landed. To go on without them, with the "
        "loss in the accounts: ticklake ingest " + " ".join(f"--accept-loss {gap}" for gap in gaps)
    )
