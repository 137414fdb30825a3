"""The power is cut at every moment of a landing: what was acknowledged is there, and no more.

A landing is recorded call by call, and the lake is laid out as the disk would hold it at a moment
(`power_cut`): what was written and not synced is gone, or half there.
"""

import json
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests import bronze_rows
from tests.embedded_broker import Broker
from tests.faults import power_cut
from tests.faults.lander import Lander
from tests.faults.messages import TOPICS, messages
from tests.faults.power_cut import Call, Disk, Folder, lay_out
from tests.faults.world import World

IMPOSSIBLE = power_cut.is_possible()
pytestmark = pytest.mark.skipif(bool(IMPOSSIBLE), reason=IMPOSSIBLE)

TRADES = TOPICS["trades"]
SEEDS = min(10, int(os.environ.get("TICKLAKE_SEEDS", "1")))
PARTITIONS = 2
MARKS = "acknowledged"  # a file beside the lake: positions of a batch, just before its source knows
LAND = """
import json, os
from ingestion.land import land_topics
from ingestion.sources.kafka import KafkaSource
from lake.settings import load_settings

acknowledge = KafkaSource.acknowledge

def noted(source, batch):
    with open(os.environ["MARKS"], "ab", buffering=0) as marks:
        marks.write(json.dumps({span.unit: span.next for span in batch.spans}).encode())
    acknowledge(source, batch)

KafkaSource.acknowledge = noted
land_topics(load_settings(), ["trades"])
"""


@dataclass(frozen=True)
class Cut:
    """A moment at which the power may go: the disk, and what was acknowledged before."""

    disk: Disk
    acknowledged: dict[str, int]


@dataclass(frozen=True)
class Recording:
    """A landing of a topic, call by call. `top` was there before it, and empty."""

    world: World
    top: Path
    calls: list[Call]

    def cuts(self, *, lake_is_there: bool = True) -> Iterator[Cut]:
        """Cuts in order, one after every call but writes; the disk is one and moves.

        Whoever lands often has a folder for the lake that has long been there.
        """
        disk = Disk(self.top)
        if lake_is_there:
            disk.root.seen["lake"] = disk.root.lasting["lake"] = Folder()
        acknowledged: dict[str, int] = {}
        for call in self.calls:
            makes_lake = call.name == "mkdir" and call.paths() == [self.world.root]
            if (lake_is_there and makes_lake) or not disk.take(call):
                continue
            if call.name == "write":
                if call.descriptor != self.top / MARKS:
                    continue
                acknowledged = {**acknowledged, **json.loads(call.strings[0])}
            yield Cut(disk, acknowledged)

    def cut(self, number: int) -> Cut:
        """One of the cuts."""
        return next(islice(self.cuts(), number, None))

    def wrong(self, cut: Cut, lake: Path) -> list[str]:
        """What is not as it must be in a lake that was laid out after a cut."""
        table = World(self.world.broker, "trades", lake, PARTITIONS, []).table
        there = DeltaTable.is_deltatable(str(table))
        stands = {
            unit: (DeltaTable(str(table)).transaction_version(unit) or 0) if there else 0
            for unit in {delivered.unit for delivered in self.world.sent}
        }
        lost = [
            f"{unit} is acknowledged up to {position} and stands at {stands[unit]}"
            for unit, position in cut.acknowledged.items()
            if stands[unit] < position
        ]
        landed = [d for d in self.world.sent if d.position < stands[d.unit]]
        return lost + bronze_rows.differences("trades", bronze_rows.rows(table), landed)

    def elsewhere(self, lake: Path) -> World:
        """The same topic with another lake."""
        return World(self.world.broker, "trades", lake, PARTITIONS, self.world.sent)


def recorded(folder: Path, broker: Broker, count: int, batch_rows: int) -> Recording:
    """Land `count` messages in batches of `batch_rows`, under the recorder."""
    top = folder / "disk"
    top.mkdir()
    broker.create_topic(TRADES, PARTITIONS)
    world = World(broker, "trades", top / "lake", PARTITIONS, [])
    world.send(messages(11, "trades", count, PARTITIONS))
    environment = {
        **world.environment,
        "TICKLAKE_BATCH_ROWS": str(batch_rows),
        "MARKS": str(top / MARKS),
    }
    return Recording(world, top, power_cut.record(LAND, environment, folder / "trace"))


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    """What lasts as long as the module's tests."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def recording(running: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Five commits of twelve records."""
    broker = running.enter_context(Broker())
    return recorded(tmp_path_factory.mktemp("recorded"), broker, 60, 12)


@pytest.fixture(scope="module")
def long_recording(running: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Fifty-five commits of four records."""
    broker = running.enter_context(Broker())
    return recorded(tmp_path_factory.mktemp("recorded"), broker, 220, 4)


@pytest.fixture(scope="module")
def lander(running: ExitStack) -> Lander:
    return running.enter_context(Lander())


def test_the_recorder_has_missed_no_call(recording: Recording) -> None:
    *_, last = recording.cuts()
    on_disk = {
        str(path.relative_to(recording.top)): None if path.is_dir() else path.read_bytes()
        for path in recording.top.rglob("*")
    }
    assert last.disk.seen() == on_disk
    assert sum(last.acknowledged.values()) == 60


@pytest.mark.parametrize("sectors", [None, 0, 1, -1])
def test_every_acknowledged_offset_is_readable_whenever_the_power_goes(
    sectors: int | None, recording: Recording, tmp_path: Path
) -> None:
    """Also where names have reached the disk and of the bytes only the first, or all but the last.

    Before anything is acknowledged there may be half a table, see below.
    """
    before = None
    acknowledged = {0}
    for cut in recording.cuts():
        if sectors is not None and not cut.acknowledged:
            continue
        left = cut.disk.survivors(sectors)
        if (left, cut.acknowledged) != before:
            lay_out(left, tmp_path / "left")
            assert recording.wrong(cut, tmp_path / "left" / "lake") == []
            acknowledged.add(sum(cut.acknowledged.values()))
        before = (left, cut.acknowledged)
    assert acknowledged == {0, 12, 24, 36, 48, 60}


def test_a_lake_that_was_not_there_before_is_there_when_its_first_offset_is_acknowledged(
    recording: Recording, tmp_path: Path
) -> None:
    first = next(cut for cut in recording.cuts(lake_is_there=False) if cut.acknowledged)
    lay_out(first.disk.survivors(), tmp_path / "left")
    assert recording.wrong(first, tmp_path / "left" / "lake") == []


@pytest.mark.parametrize("sectors", [None, 0, 1, -1])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_landing_goes_on_exactly_after_the_power_was_cut(
    seed: int, sectors: int | None, recording: Recording, lander: Lander, tmp_path: Path
) -> None:
    chosen = random.Random(f"{seed}/{sectors}").randrange(len(list(recording.cuts())))
    left = recording.cut(chosen).disk.survivors(sectors)
    assert wrong_after(recording, left, lander, tmp_path / "left") == []


@pytest.mark.parametrize("sectors", [0, 1, -1])
def test_landing_goes_on_exactly_where_the_power_went_when_the_table_was_made(
    sectors: int, recording: Recording, lander: Lander, tmp_path: Path
) -> None:
    """Its first log entry has its name and perhaps not its bytes: nothing was acknowledged yet."""
    first = "lake/bronze/trades/_delta_log/00000000000000000000.json"
    cut = next(cut for cut in recording.cuts() if first in cut.disk.seen())
    assert cut.acknowledged == {}
    left = cut.disk.survivors(sectors)
    assert wrong_after(recording, left, lander, tmp_path / "left") == []


@pytest.mark.slow
@pytest.mark.parametrize("sectors", [None, 0, 1, -1])
def test_landing_goes_on_exactly_after_a_cut_at_a_checkpoint(
    sectors: int | None, long_recording: Recording, lander: Lander, tmp_path: Path
) -> None:
    """The fiftieth commit has one, written when the commit is there already."""
    cuts = [n for n, cut in enumerate(long_recording.cuts()) if has_checkpoint(cut)]
    wrong: dict[int, list[str]] = {}
    for chosen in [*cuts[:6], *random.Random(1).sample(cuts, 6), cuts[-1]]:
        left = long_recording.cut(chosen).disk.survivors(sectors)
        found = wrong_after(long_recording, left, lander, tmp_path / "left")
        wrong |= {chosen: found} if found else {}
    assert wrong == {}


def has_checkpoint(cut: Cut) -> bool:
    return any("checkpoint" in name for name in cut.disk.seen())


def wrong_after(
    recording: Recording, left: Mapping[str, bytes | None], lander: Lander, folder: Path
) -> list[str]:
    """Lay out what a cut has left and land again: what is wrong then."""
    lay_out(left, folder)
    (folder / "lake").mkdir(exist_ok=True)
    world = recording.elsewhere(folder / "lake")
    ended = lander.land(world.environment, "trades")
    if ended.error:
        return [ended.error]
    again = lander.land(world.environment, "trades").landed
    return [*world.wrong(), *(["something landed twice"] if again else [])]
