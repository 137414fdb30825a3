"""kill -9 of `dbt build` anywhere: readers see a whole publication, the next build is exact."""

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from checks.reconcile import reconcile
from lake import lakehouse
from lake.records import current
from tests import oracle
from tests.builder import Builder, Ended
from tests.desk import Desk, trade

SEEDS = min(20, int(os.environ.get("TICKLAKE_SEEDS", "1")))  # six seconds each
STAGES = (pytest.param("first", marks=pytest.mark.slow), "late")
PUBLISH_POINTS = (
    "publish.files_written:2",
    "publish.table.files_synced:2",
    "publish.table.committed:3",
    "publish.committed",
    "publish.recorded",
    "publish.swapping",
)
OFTEN = ("publish.table.committed:3",)
PUBLISH_STEPS = [
    pytest.param(point, marks=() if point in OFTEN else pytest.mark.slow)
    for point in PUBLISH_POINTS
]
RECV_NS = 1_760_000_000 * 10**9


@dataclass
class Landed:
    """A lake that is landed to a stage, its raw records, and what an undisturbed build makes."""

    root: Path
    trades: list[oracle.Delivered] = field(default_factory=list)
    before: Any = None  # fingerprints that readers have before the build; None: no publication
    after: Any = None
    events: int = 0  # of dbt, from the start of the undisturbed build to its end


def records(seed: int, first: int, count: int) -> list[dict[str, Any]]:
    """Trades on both sides of midnight in New York, some with a venue, some without an id."""
    rng = random.Random(seed)
    made = []
    for number in range(first, first + count):
        day, hour = rng.choice([(2, 22), (2, 23), (3, 3), (3, 4), (3, 14)])
        at = f"2025-10-0{day}T{hour:02}:{rng.randrange(60):02}:{rng.randrange(60):02}.5Z"
        more = {"venue": rng.choice([None, "A", "B"]), "sequence": rng.choice([None, number])}
        made.append(
            trade(
                number,
                at,
                f"{100 + rng.randrange(100) / 100:.2f}",
                rng.randrange(1, 99),
                instrument=f"BOND_{rng.randrange(6)}",
                **more,
            )
        )
    return [*made, *rng.sample(made, count // 10)]


def land_trades(desk: Desk, landed: Landed, unit: str, rows: list[dict[str, Any]]) -> None:
    start = sum(delivered.unit == unit for delivered in landed.trades)
    raw = [json.dumps(row).encode() for row in rows]
    desk.land("trades", raw, unit=unit, recv_ns=RECV_NS + len(landed.trades))
    landed.trades += [
        oracle.Delivered(unit, start + n, RECV_NS + len(landed.trades), value, "test")
        for n, value in enumerate(raw)
    ]


def land_security(desk: Desk, number: int, as_of: str, multiplier: str) -> None:
    statement = {
        "instrumentId": f"BOND_{number}",
        "securityName": f"Bond {number}",
        "cusip": None,
        "isin": None,
        "marketSegment": "HG",
        "issuer": "Issuer",
        "priceMultiplier": multiplier,
        "asOf": as_of,
    }
    desk.land("securities", [statement])


def land_first(desk: Desk, landed: Landed) -> None:
    land_trades(desk, landed, "kafka:trades/0", records(1, 0, 150))
    for number in range(4):
        land_security(desk, number, "2025-09-01T00:00:00Z", "0.01")


def land_late(desk: Desk, landed: Landed) -> None:
    """Late rows, copies of known ones, and a change of a security inside its history."""
    land_trades(desk, landed, "kafka:trades/1", [*records(2, 150, 40), *records(1, 0, 150)[:9]])
    land_security(desk, 2, "2025-10-03T00:00:00Z", "1")
    land_security(desk, 5, "2025-10-05T00:00:00Z", "1")


def same_lake_elsewhere(landed: Landed, root: Path, target: Path) -> Desk:
    """A copy, with its own readers' file."""
    shutil.copytree(landed.root, root)
    desk = Desk(root, target)
    record = current(desk.layout)
    if record is not None:
        lakehouse.swap(desk.layout, record)  # its views name files by their whole path
    return desk


def seen(desk: Desk) -> Any:
    """What readers see: None before the first publication."""
    return desk.fingerprints() if desk.layout.lakehouse.exists() else None


def candles(desk: Desk, width: str) -> dict[tuple[str, int], oracle.Candle]:
    rows = desk.query(
        "select instrument_id, epoch_ns(window_start), open, high, low, close, volume, "
        f"trade_count, vwap_notional from gold.candles_{width} "
        "where session_scope = 'all' and venue = 'ALL'"
    )
    return {row[:2]: oracle.Candle(*row[2:]) for row in rows}


def assert_right(desk: Desk, landed: Landed) -> None:
    """The lake is as if undisturbed, the accounts close, the candles are those of the oracle."""
    assert desk.fingerprints() == landed.after
    assert [account for account in reconcile(desk.settings) if account.is_open] == []
    verdicts = (oracle.judge("trades", delivered) for delivered in landed.trades)
    events, _ = oracle.deduplicate(oracle.kept(verdicts))
    for width in ("1s", "10s", "1m", "1h", "1d"):
        assert candles(desk, width) == oracle.candles(events, width), width


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Processes to kill."""
    with Builder(tmp_path_factory.mktemp("dbt")) as server:
        yield server


def built(builder: Builder, desk: Desk) -> Ended:
    ended = builder.dbt(desk.root, "build")
    assert ended.success, ended.error
    return ended


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, builder: Builder) -> dict[str, Landed]:
    """Two lakes that wait for a build: one that has none yet, and one with late news."""
    folder = tmp_path_factory.mktemp("stages")
    first, late = Landed(folder / "first"), Landed(folder / "late")
    land_first(Desk(first.root, builder.target), first)
    calm = same_lake_elsewhere(first, late.root, builder.target)
    first.events = built(builder, calm).events
    first.after = late.before = seen(calm)
    late.trades = list(first.trades)
    land_late(calm, late)
    calm = same_lake_elsewhere(late, folder / "calm", builder.target)
    late.events = built(builder, calm).events
    late.after = seen(calm)
    return {"first": first, "late": late}


def test_the_news_change_what_readers_see(stages: dict[str, Landed]) -> None:
    late = stages["late"]
    assert late.before.keys() == late.after.keys()
    changed = {name for name in late.before if late.before[name] != late.after[name]}
    assert changed > {"silver.trades", "gold.candles_1d", "gold.dim_securities"}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("stage", STAGES)
def test_a_build_killed_at_any_moment_is_made_right_by_the_next(
    stage: str, seed: int, stages: dict[str, Landed], builder: Builder, tmp_path: Path
) -> None:
    landed = stages[stage]
    desk = same_lake_elsewhere(landed, tmp_path / "lake", builder.target)
    rng = random.Random(f"{stage}/{seed}")
    for _ in range(rng.choice([1, 1, 2])):  # the retry is killed too, now and then
        kill_at = (rng.randint(1, landed.events), rng.uniform(0, 0.1))
        ended = builder.dbt(desk.root, "build", kill_at=kill_at)
        assert ended.killed_by == signal.SIGKILL or ended.success, ended.error
        assert seen(desk) in (landed.before, landed.after)
    built(builder, desk)
    assert_right(desk, landed)


@pytest.mark.parametrize("point", PUBLISH_STEPS)
def test_a_publication_killed_at_any_step_is_made_right_by_the_next_build(
    point: str, stages: dict[str, Landed], builder: Builder, tmp_path: Path
) -> None:
    landed = stages["late"]
    desk = same_lake_elsewhere(landed, tmp_path / "lake", builder.target)
    ended = builder.dbt(desk.root, "build", fault=point)
    assert ended.killed_by == signal.SIGKILL, ended.error
    assert seen(desk) == landed.before
    built(builder, desk)
    assert_right(desk, landed)
