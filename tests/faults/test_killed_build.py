"""kill -9 of `dbt build` anywhere: the next build ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checks.reconcile import reconcile
from lake.settings import PROJECT
from tests.desk import Desk, trade

SEEDS = range(int(os.environ.get("TICKLAKE_SEEDS", "1")))
PUBLISH_POINTS = [
    "publish.table.committed",
    "publish.recorded",
    *(
        pytest.param(point, marks=pytest.mark.slow)
        for point in (
            "publish.files_written",
            "publish.table.files_synced",
            "publish.committed",
            "publish.swapping",
        )
    ),
]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "lake", tmp_path / "target")


def trades(seed: int, first: int, count: int) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [
        trade(
            n,
            f"{rng.randrange(13, 20)}:{rng.randrange(60):02}:{rng.randrange(60):02}.5",
            price=f"{100 + rng.randrange(100) / 100:.2f}",
            quantity=rng.randrange(1, 99),
            instrument=f"BOND_{rng.randrange(6)}",
        )
        for n in range(first, first + count)
    ]


def start(desk: Desk, fault: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LAKE_URI": str(desk.root), "TICKLAKE_FAULT": fault}
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "dbt"), "build", "--target-path", str(desk.target)],
        cwd=PROJECT / "dbt",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def undisturbed(desk: Desk, seed: int, tmp_path: Path) -> Desk:
    """A lake that landed the same records and was built once, without a kill."""
    calm = Desk(tmp_path / "calm", desk.target)
    calm.land("trades", trades(seed, 0, 300))
    calm.land("trades", trades(seed + 1000, 300, 40))
    calm.build()
    return calm


def business(desk: Desk) -> object:
    """Fingerprints of what does not name a commit: batches and landing times differ by lake."""
    return {
        name: desk.query(
            f"select count(*), sum(hash(t)) from (select * exclude ({skip}) from {name}) t"
        )
        for name, skip in {
            "silver.trades": "batch",
            "gold.candles_1s": "first_ts_ns",
            "gold.candles_1m": "first_ts_ns",
            "gold.candles_1d": "first_ts_ns",
            "gold.enriched_trades": "security_sk",
        }.items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_build_killed_at_any_moment_leaves_a_lake_that_the_next_build_makes_right(
    desk: Desk, tmp_path: Path, seed: int
) -> None:
    desk.land("trades", trades(seed, 0, 300))
    rng = random.Random(seed)
    for step in range(2):
        running = start(desk)
        time.sleep(rng.uniform(3.0, 8.0))
        running.send_signal(signal.SIGKILL)
        running.wait()
        if step == 0:
            desk.build()
            desk.land("trades", trades(seed + 1000, 300, 40))
    desk.build()
    assert business(desk) == business(undisturbed(desk, seed, tmp_path))
    assert [account for account in reconcile(desk.settings) if account.is_open] == []


@pytest.mark.parametrize("point", PUBLISH_POINTS)
def test_a_publication_killed_at_each_step_is_whole_after_the_next_build(
    desk: Desk, tmp_path: Path, point: str
) -> None:
    desk.land("trades", trades(7, 0, 300))
    desk.build()
    shown = desk.fingerprints(leave_out=())
    desk.land("trades", trades(1007, 300, 40))
    assert start(desk, f"{point}:2" if "table" in point else point).wait() == -signal.SIGKILL
    assert desk.fingerprints(leave_out=()) == shown
    desk.build()
    assert business(desk) == business(undisturbed(desk, 7, tmp_path))
