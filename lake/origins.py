"""Which topic a Kafka unit's positions count in, recorded once, when it is first read.

A name is not enough: a topic that was deleted and made anew has the old name and other offsets.
Brokers give each topic an id of its own, so the id is written down, and read before every landing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from lake.durable import folders_between, put_if_absent, sync_folders
from lake.layout import Layout


@dataclass(frozen=True)
class Origin:
    """A topic as it was when it was first read.

    `topic_id` is empty where the broker gives none. `starts` is the first offset that each
    partition still had then: what was gone before is not ours to miss. `incarnation` counts the
    topics that had this name and were accepted, from 1.
    """

    cluster: str
    topic: str
    topic_id: str
    starts: Mapping[int, int]
    incarnation: int = 1
    first_read_at: str = ""

    def unit(self, partition: int) -> str:
        """Name of a partition as positions count in it.

        The cluster's own id is part of it: offsets of two clusters are two different things, also
        when the second answers at the address of the first. So is the incarnation, from 2 on.
        """
        anew = f"~{self.incarnation}" if self.incarnation > 1 else ""
        return f"kafka:{self.cluster}/{self.topic}{anew}/{partition}"


class OriginBroken(RuntimeError):
    """A topic's record is there but cannot be understood."""


def newest(layout: Layout, cluster: str, topic: str) -> Origin | None:
    """The topic as it was last accepted, None if it was never read. Raises OriginBroken."""
    numbers = [int(path.stem) for path in _folder(layout, cluster, topic).glob("*.json")]
    return _read(_folder(layout, cluster, topic) / f"{max(numbers)}.json") if numbers else None


def record(layout: Layout, origin: Origin) -> Origin:
    """Write a topic down, durably; of two writers one wins, and its record is what is returned."""
    folder = _folder(layout, origin.cluster, origin.topic)
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folders(folders_between(layout.root, folder))
    dated = replace(origin, first_read_at=datetime.now(UTC).isoformat(timespec="seconds"))
    path = folder / f"{origin.incarnation}.json"
    put_if_absent(path, json.dumps(asdict(dated), indent=1).encode() + b"\n")
    return _read(path)


def forget(layout: Layout, cluster: str) -> None:
    """Forget a cluster's topics: the same logs are about to be made again from their beginning."""
    for path in _cluster(layout, cluster).glob("*/*.json"):
        path.unlink(missing_ok=True)


def _cluster(layout: Layout, cluster: str) -> Path:
    return layout.receipts.with_name("topics") / quote(cluster, safe="")


def _folder(layout: Layout, cluster: str, topic: str) -> Path:
    return _cluster(layout, cluster) / quote(topic, safe="")


def _read(path: Path) -> Origin:
    try:
        content = json.loads(path.read_bytes())
        starts = {int(number): int(offset) for number, offset in content.pop("starts").items()}
        return Origin(**content, starts=starts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OriginBroken(
            f"{path}: not the record of a topic: {error!r}; restore it from a backup"
        ) from None
