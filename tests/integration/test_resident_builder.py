"""`ticklake build --follow`: what lands is published, whoever else builds, however it ends."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from lake.build import build
from lake.layout import layout
from lake.locks import held
from lake.records import current
from tests.desk import Desk, trade
from tests.resident import BUILD_S, COMMAND, resident

SEEDS = min(8, int(os.environ.get("TICKLAKE_SEEDS", "1")))
TRADES = "select count(*) from silver.trades"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "lake", tmp_path / "target")


def number(desk: Desk) -> int:
    """Of the current publication."""
    record = current(desk.layout)
    assert record is not None
    return record.number


def test_what_lands_is_published_and_nothing_else_is_built(desk: Desk) -> None:
    with resident(desk) as follower:
        for count in (1, 2):
            desk.land("trades", [trade(count, f"15:0{count}:00")])
            found = follower.wait_rounds(1 + count)[-1]
            assert found["published"] and found["publication"] == number(desk)
            assert desk.query(TRADES) == [(count,)]
        time.sleep(2)
        assert len(follower.rounds) == 3
        assert follower.end(signal.SIGINT) == 0


def test_a_build_beside_it_waits_its_turn_and_neither_does_a_thing_twice(desk: Desk) -> None:
    with resident(desk) as follower:
        before = number(desk)
        with held(layout(desk.settings).lock("build")):
            desk.land("trades", [trade(1, "15:01:00")])
            time.sleep(1.5)
            assert len(follower.rounds) == 1
        # As the `live` flow builds, while the resident is at the same news.
        follower.wait_building()
        beside = build(desk.settings)
        assert not beside.published
        assert number(desk) == before + 1
        assert desk.query(TRADES) == [(1,)]


def test_what_another_build_published_is_no_news(desk: Desk) -> None:
    with resident(desk) as follower:
        with held(layout(desk.settings).lock("build")):
            desk.land("trades", [trade(1, "15:01:00")])
            desk.build()  # `dbt build` in a shell knows nothing of that lock
        time.sleep(1.5)
        assert len(follower.rounds) == 1
        assert desk.query(TRADES) == [(1,)]


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
    clean = Desk(desk.root, desk.target.parent)
    left = desk.fingerprints()
    clean.build("--full-refresh")
    assert desk.query(TRADES) == [(9,)]
    assert clean.fingerprints() == left


def test_a_second_one_is_refused_and_says_who_is_there(desk: Desk) -> None:
    with resident(desk) as follower:
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
