"""`ticklake build --follow`: what lands is published, whoever else builds, however it ends."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from checks.reconcile import reconcile
from lake.build import build
from lake.locks import held
from lake.records import current
from tests.desk import Desk, trade
from tests.resident import BUILD_S, COMMAND, Resident, resident

SEEDS = min(8, int(os.environ.get("TICKLAKE_SEEDS", "1")))
TRADES = "select count(*) from silver.trades"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "lake", tmp_path / "target")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Resident]]:
    """A lake with a resident builder that the first tests share, each landing a trade."""
    folder = tmp_path_factory.mktemp("watched")
    desk = Desk(folder / "lake", folder / "target")
    with resident(desk) as follower:
        yield desk, follower


def number(desk: Desk) -> int:
    """Of the current publication."""
    record = current(desk.layout)
    assert record is not None
    return record.number


def test_what_lands_is_published_and_nothing_else_is_built(watched: tuple[Desk, Resident]) -> None:
    desk, follower = watched
    for count in (1, 2):
        desk.land("trades", [trade(count, f"15:0{count}:00")])
        found = follower.wait_rounds(1 + count)[-1]
        assert found["published"] and found["publication"] == number(desk)
        assert desk.query(TRADES) == [(count,)]
    time.sleep(2)
    assert len(follower.rounds) == 3


def test_a_build_beside_it_waits_its_turn_and_neither_does_a_thing_twice(
    watched: tuple[Desk, Resident],
) -> None:
    desk, follower = watched
    rounds, before = len(follower.rounds), number(desk)
    with held(desk.layout.lock("build")):
        desk.land("trades", [trade(3, "15:03:00")])
        time.sleep(1.5)
        assert len(follower.rounds) == rounds
    follower.wait_building()
    beside = build(desk.settings)  # as the `live` flow builds, while the resident is at it
    assert not beside.published
    assert number(desk) == before + 1
    assert desk.query(TRADES) == [(3,)]


@pytest.mark.slow
def test_what_another_build_published_is_no_news(watched: tuple[Desk, Resident]) -> None:
    desk, follower = watched
    follower.wait_rounds(4)
    with held(desk.layout.lock("build")):
        desk.land("trades", [trade(4, "15:04:00")])
        desk.build()  # `dbt build` in a shell knows nothing of that lock
    time.sleep(1.5)
    assert len(follower.rounds) == 4
    assert desk.query(TRADES) == [(4,)]


@pytest.mark.slow
def test_the_process_that_keeps_dbt_warm_may_die(watched: tuple[Desk, Resident]) -> None:
    desk, follower = watched
    rounds = len(follower.rounds)
    for process in follower.family()[1:]:
        process.kill()
    desk.land("trades", [trade(5, "15:05:00")])
    assert follower.wait_rounds(rounds + 1)[-1]["published"]
    assert desk.query(TRADES) == [(5,)]


def test_a_second_one_is_refused_and_says_who_is_there(watched: tuple[Desk, Resident]) -> None:
    desk, follower = watched
    second = subprocess.run(
        COMMAND,
        env={**os.environ, "LAKE_URI": str(desk.root)},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert second.returncode == 1
    assert f"followed already: resident-builder is held by process {follower.process.pid}" in (
        " ".join(second.stderr.split())
    )


def test_it_builds_what_lands_and_takes_no_range(desk: Desk) -> None:
    told = subprocess.run(
        [*COMMAND, "--from", "2025-10-01", "--to", "2025-10-02"],
        env={**os.environ, "LAKE_URI": str(desk.root)},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert told.returncode == 2
    assert "leave out --from, --to" in told.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_ended_in_a_build_it_leaves_readers_whole_and_no_process(
    by: signal.Signals, seed: int, desk: Desk
) -> None:
    rng = random.Random(f"{by}/{seed}")
    with resident(desk) as follower:
        before = desk.fingerprints()
        desk.land("trades", [trade(n, f"15:0{n}:00") for n in range(9)])
        follower.wait_building()
        time.sleep(rng.uniform(0, 3))
        family = follower.family()
        assert follower.end(by) == (0 if by == signal.SIGTERM else -by)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
    unbuilt = desk.query(TRADES) == [(0,)]
    assert (desk.fingerprints() == before) is unbuilt
    desk.build()
    assert desk.query(TRADES) == [(9,)]
    assert [account for account in reconcile(desk.settings) if account.is_open] == []
