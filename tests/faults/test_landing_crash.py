"""Landing is killed at every step, with kill -9, and what bronze holds is exact all the same."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts import registry
from tests.embedded_broker import Broker, Sent
from tests.faults.lander import Ended, Lander
from tests.faults.messages import START, TOPICS, messages, only_poison
from tests.faults.records import sound
from tests.faults.world import BATCH_ROWS, World

POINTS = (
    "land.consumed",
    "land.decoded",
    "land.checked",
    "bronze.files_written",
    "bronze.files_synced",
    "bronze.committed",
    "bronze.log_synced",
    "land.acknowledged",
)
SEEDS = int(os.environ.get("TICKLAKE_SEEDS", "2"))
MESSAGES, BATCHES = 110, 4  # at least so many batches of BATCH_ROWS
DATASETS = tuple(TOPICS)
VERSION = registry.get("trades").version
START_MS = int(START.timestamp() * 1000)


@pytest.fixture(scope="module")
def lander() -> Iterator[Lander]:
    """Processes to kill, 0.1 s each."""
    with Lander() as server:
        yield server


@contextmanager
def a_world(dataset: str, root: Path, partitions: int = 3) -> Iterator[World]:
    with Broker() as broker:
        broker.create_topic(TOPICS[dataset], partitions)
        yield World(broker, dataset, root, partitions, [])


def land_all(lander: Lander, world: World, contract: str = "") -> Ended:
    ended = lander.land(world.environment, world.dataset, contract=contract)
    assert ended.error == ""
    assert ended.killed_by == 0
    return ended


def crash(lander: Lander, world: World, fault: str) -> None:
    ended = lander.land(world.environment, world.dataset, fault=fault)
    assert ended.error == ""
    assert ended.killed_by == signal.SIGKILL


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_doubled_when_landing_is_killed(
    point: str, seed: int, lander: Lander, tmp_path: Path
) -> None:
    rng = random.Random(f"{point}/{seed}")
    dataset = DATASETS[(seed + POINTS.index(point)) % len(DATASETS)]
    partitions = rng.choice([2, 3])
    with a_world(dataset, tmp_path / "lake", partitions) as world:
        world.send(messages(seed, dataset, MESSAGES, partitions))
        crash(lander, world, f"{point}:{rng.randint(1, BATCHES)}")
        if rng.random() < 0.5:  # the retry is killed too, at its first batch, wherever that is
            world.send(messages(seed + 1_000, dataset, BATCH_ROWS, partitions))
            crash(lander, world, rng.choice(POINTS))
        land_all(lander, world)
        assert world.wrong() == []
        assert land_all(lander, world).landed == 0


@pytest.mark.parametrize("point", ["land.consumed", "bronze.files_synced", "bronze.committed"])
@pytest.mark.parametrize("contract", ["next version", "one field more"])
def test_the_contract_may_change_between_the_crash_and_the_retry(
    contract: str, point: str, lander: Lander, tmp_path: Path
) -> None:
    with a_world("trades", tmp_path / "lake") as world:
        world.send(messages(5, "trades", MESSAGES, 3))
        crash(lander, world, f"{point}:2")
        before = {(row["unit"], row["position"]) for row in world.rows()}
        land_all(lander, world, contract)
        assert world.wrong() == []
        # the first batch is landed while the second is read: it may be there by then or not
        landed = {"land.consumed": (0, 1), "bronze.files_synced": (1,), "bronze.committed": (2,)}
        assert len(before) in [BATCH_ROWS * batches for batches in landed[point]]
        for row in world.rows():
            is_old = (row["unit"], row["position"]) in before
            assert row["contract_version"] == (VERSION if is_old else VERSION + 1)


def test_a_record_is_judged_by_the_contract_that_landed_it(lander: Lander, tmp_path: Path) -> None:
    rng = random.Random(6)
    texts = [sound(rng, "trades", number, START) for number in range(MESSAGES)]
    sent = [Sent(f'{text[:-1]},"desk":"D1"}}'.encode(), sent_ms=START_MS) for text in texts]
    with a_world("trades", tmp_path / "lake", 1) as world:
        world.send(sent)
        crash(lander, world, "bronze.committed:2")  # under a contract that knows no desk
        land_all(lander, world, "one field more")
        known = [(row["contract_version"], row["reject_code"], row["desk"]) for row in world.rows()]
        assert Counter(known) == {
            (VERSION, "SCHEMA_TYPE", None): 2 * BATCH_ROWS,
            (VERSION + 1, None, "D1"): MESSAGES - 2 * BATCH_ROWS,
        }


@pytest.mark.parametrize("point", POINTS)
def test_a_batch_in_which_nothing_is_good_advances_and_is_kept(
    point: str, lander: Lander, tmp_path: Path
) -> None:
    dataset = DATASETS[POINTS.index(point) % len(DATASETS)]
    with a_world(dataset, tmp_path / "lake", 2) as world:
        world.send(only_poison(7, dataset, 2 * BATCH_ROWS, 2))
        crash(lander, world, f"{point}:2")
        land_all(lander, world)
        assert world.wrong() == []
        assert {row["verdict"] for row in world.rows()} == {"rejected"}
        assert land_all(lander, world).landed == 0


def test_files_of_a_killed_batch_are_never_read(lander: Lander, tmp_path: Path) -> None:
    with a_world("trades", tmp_path / "lake") as world:
        world.send(messages(8, "trades", MESSAGES, 3))
        crash(lander, world, "bronze.files_synced:1")
        assert list(world.table.rglob("*.parquet"))
        assert world.rows() == []
        land_all(lander, world)
        assert world.wrong() == []
