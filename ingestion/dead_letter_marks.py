"""How far dead letters are sent: kept in the lake, and told by the topic itself.

The lake's mark is written after the broker has confirmed, so a crash between the two leaves it
behind the topic, never ahead: whoever sends next reads the letters after the mark first.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from lake.durable import folders_between, sync_file, sync_folders
from lake.kafka_client import BrokerUnreachable, client_config
from lake.layout import Layout
from lake.settings import Settings

PARTITION = 0  # the order of the letters is what says how far they are sent: one partition
POLL_SECONDS = 0.1
OFFSET_BEGINNING = -2


@dataclass(frozen=True)
class Mark:
    """Letters up to commit `version` of the table are sent; of that one only those up to `within`
    (unit, position), if that is given. The last has `offset` in the topic of `cluster`."""

    version: int = -1
    within: tuple[str, int] | None = None
    cluster: str = ""
    offset: int = -1

    def covers(self, version: int) -> bool:
        """Are all letters of a commit sent?"""
        return version < self.version or (version == self.version and self.within is None)

    def is_before(self, version: int, unit: str, position: int) -> bool:
        """Is this letter still to be sent?"""
        if version != self.version or self.within is None:
            return version > self.version
        return (unit, position) > self.within


class MarkBroken(RuntimeError):
    """A mark is there but cannot be understood."""


def load(layout: Layout, dataset: str, topic: str) -> Mark:
    """The mark of a dataset's letters in a topic; of none sent, if there is none."""
    path = _path(layout, dataset, topic)
    try:
        content = json.loads(path.read_bytes())
        within = content["within"]
        return Mark(
            int(content["version"]),
            None if within is None else (str(within[0]), int(within[1])),
            str(content["cluster"]),
            int(content["offset"]),
        )
    except FileNotFoundError:
        return Mark()
    except (ValueError, KeyError, TypeError) as error:
        raise MarkBroken(
            f"{path}: not a mark of dead letters: {error!r}; remove it and the topic says how far "
            "they are sent"
        ) from None


def save(layout: Layout, dataset: str, topic: str, mark: Mark) -> None:
    """Keep a mark, durably, in place of the one before."""
    path = _path(layout, dataset, topic)
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_folders(folders_between(layout.root, path.parent))
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(asdict(mark)))
    sync_file(draft)
    draft.replace(path)
    sync_folders([path.parent])


def _path(layout: Layout, dataset: str, topic: str) -> Path:
    return layout.receipts.with_name("dead_letters") / f"{dataset}.{topic}.json"


def told_by_topic(
    settings: Settings, topic: str, cluster: str, mark: Mark, versions: Mapping[str, int]
) -> Mark:
    """The mark moved on by the letters that the topic holds after it.

    `versions` gives the version of each batch that may have letters; letters of other batches are
    of another lake, or were sent before the mark.
    """
    start = mark.offset + 1 if mark.cluster == cluster and mark.offset >= 0 else OFFSET_BEGINNING
    mark = replace(mark, cluster=cluster, offset=max(start - 1, -1))
    for letter in _from(settings, topic, start):
        headers = dict(letter.headers() or ())
        try:
            version = versions[headers["batch"].decode()]
            unit, position = headers["unit"].decode(), int(headers["position"])
        except (KeyError, ValueError, AttributeError):
            continue
        if mark.is_before(version, unit, position):
            mark = Mark(version, (unit, position), cluster, letter.offset())
    return mark


def _from(settings: Settings, topic: str, start: int) -> list[Message]:
    """Messages of the topic from an offset to its end; from the first, if that one is gone."""
    consumer = Consumer(
        {
            **client_config(settings),
            "group.id": f"{settings.kafka_group}.dead-letters",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    found: list[Message] = []
    deadline = time.monotonic() + settings.kafka_timeout_s
    try:
        consumer.assign([TopicPartition(topic, PARTITION, start)])
        while time.monotonic() < deadline:
            for message in consumer.consume(1_000, POLL_SECONDS):
                error = message.error()
                if error is None:
                    found.append(message)
                    deadline = time.monotonic() + settings.kafka_timeout_s
                elif error.code() == KafkaError._PARTITION_EOF:
                    return found
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
    raise BrokerUnreachable(
        f"{topic} on {settings.kafka_bootstrap} does not come to its end within "
        f"{settings.kafka_timeout_s:g} s; dead letters wait until it does"
    )
