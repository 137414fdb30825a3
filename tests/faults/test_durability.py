"""What is acknowledged is on the disk: the order of syncs, seen from the system calls' side."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from contracts import registry
from ingestion.land import land_topics
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.settings import Settings
from tests.embedded_broker import Broker
from tests.faults.lander import Lander
from tests.faults.messages import TOPICS, messages

TRADES = TOPICS["trades"]


@dataclass(frozen=True)
class Event:
    """A sync, or an acknowledged batch, and how many log entries there were at that moment."""

    name: str
    size: int
    entries: int


class Watch:
    """Notes every fsync and every acknowledged batch from its making on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
        self.events: list[Event] = []
        log = table / "_delta_log"
        real_sync, real_acknowledge = os.fsync, KafkaSource.acknowledge

        def fsync(descriptor: int) -> None:
            real_sync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            entries = len(list(log.glob("*.json")))
            self.events.append(Event(str(path), path.stat().st_size, entries))

        def acknowledge(source: KafkaSource, batch: Any) -> None:
            self.events.append(Event("acknowledged", 0, 0))
            real_acknowledge(source, batch)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(KafkaSource, "acknowledge", acknowledge)

    def synced(self, path: Path, before: int) -> Event:
        """The first sync of a path in its present size. Fails if there was none before `before`."""
        size = path.stat().st_size
        for event in self.events[:before]:
            if event.name == str(path) and (path.is_dir() or event.size == size):
                return event
        raise AssertionError(f"{path} was not on the disk when its batch was acknowledged")

    def acknowledged(self) -> list[int]:
        """When batches were acknowledged, in their order."""
        return [at for at, event in enumerate(self.events) if event.name == "acknowledged"]


def files_of(table: Path, version: int) -> list[Path]:
    """Data files that one commit added."""
    older = set(DeltaTable(str(table), version=version - 1).file_uris())
    return [Path(f) for f in DeltaTable(str(table), version=version).file_uris() if f not in older]


def entry(table: Path, version: int) -> Path:
    return table / "_delta_log" / f"{version:020}.json"


def test_files_folders_and_log_entry_are_synced_before_a_batch_is_acknowledged(
    broker: Broker, kafka_lake: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(3, "trades", 100, 2))
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=25)
    table = layout(settings).bronze("trades")
    watch = Watch(monkeypatch, table)
    land_topics(settings, ("trades",))
    acknowledged = watch.acknowledged()
    assert len(acknowledged) == 4
    for version, moment in enumerate(acknowledged, start=1):
        watch.synced(entry(table, version), moment)
        watch.synced(table / "_delta_log", moment)
        added = files_of(table, version)
        assert added
        for path in added:
            # entries 0 to version-1: none names yet what may not be there after a power cut
            assert watch.synced(path, moment).entries == version
            for folder in path.parents[: len(path.relative_to(table).parts)]:
                assert watch.synced(folder, moment).entries <= version


def test_a_new_table_is_anchored_in_every_folder_above_it(
    broker: Broker, kafka_lake: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.create_topic(TRADES)
    broker.produce(TRADES, messages(3, "trades", 10, 1))
    settings = kafka_lake()
    table = layout(settings).bronze("trades")
    watch = Watch(monkeypatch, table)
    land_topics(settings, ("trades",))
    (moment,) = watch.acknowledged()
    watch.synced(entry(table, 0), moment)
    for folder in (table, table.parent, settings.root):
        watch.synced(folder, moment)


def test_a_position_is_believed_only_after_its_log_entry_is_synced(
    broker: Broker, kafka_lake: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer before was killed between its commit and its sync."""
    broker.create_topic(TRADES)
    broker.produce(TRADES, messages(3, "trades", 50, 1))
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=20)
    environment = {
        "LAKE_URI": str(settings.root),
        "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
        "TICKLAKE_BATCH_ROWS": "20",
    }
    with Lander() as lander:
        assert lander.land(environment, "trades", fault="bronze.committed:2").killed_by == 9
    table = layout(settings).bronze("trades")
    watch = Watch(monkeypatch, table)
    writer = BronzeWriter(registry.get("trades"), layout(settings))
    assert writer.next_position(broker.unit(TRADES, 0)) == 40
    for version in (0, 1, 2):
        watch.synced(entry(table, version), len(watch.events))
