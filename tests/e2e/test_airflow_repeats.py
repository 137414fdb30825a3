"""Real Airflow: runs that overlap, are broken off, die and are run again leave what one run makes.

The tests share one lake and go on from each other; the last compares it with one built at once.
"""

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from checks.reconcile import reconcile
from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import truth
from ingestion.land import land_generated
from ingestion.produce import produce
from lake.records import current
from lake.settings import Settings
from tests.desk import Desk, trade
from tests.empty_lake import begin_as_empty
from tests.own_airflow import built_at_once, own_airflow, send, wait_backfilled, wait_task
from ticklake.services import airflow, processes, stack
from ticklake.services.airflow import SCHEDULER
from ticklake.services.airflow_api import AirflowApi, Run
from ticklake.services.airflow_env import BY_THE_CLOCK
from ticklake.services.processes import ServiceError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

SEEDS = min(5, int(os.environ.get("TICKLAKE_SEEDS", "1")))  # a minute each
DAYS = tuple(date(2025, 10, day) for day in (1, 2, 3, 6))
PLAN = Plan(days=DAYS, quotes=1_200, trades=1_000, securities=200)
LATE = "2025-10-01T15:30:00Z"  # of which hour nothing else came so late
LATE_HOUR = datetime(2025, 10, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a lake with Airflow beside it, where nothing runs but what a test starts."""
    lake = tmp_path_factory.mktemp("lake")
    begin_as_empty(lake, lake / "dbt" / "target", "core")
    with own_airflow(lake, **{BY_THE_CLOCK: "False"}) as settings:
        for day in DAYS:
            land_generated(settings, "securities", PLAN, day)
        yield settings


@pytest.fixture
def client(settings: Settings) -> Iterator[AirflowApi]:
    """A client of that Airflow."""
    with airflow.api(settings) as api:
        yield api


@pytest.fixture
def desk(settings: Settings, tmp_path: Path) -> Desk:
    """For looking at what is published."""
    return Desk(settings.root, tmp_path)


def kept(days: Sequence[date]) -> int:
    """How many trades of these days the generator means to be in silver."""
    made = sum(PLAN.share_of(PLAN.trades, day) for day in days)
    faulty = truth(PLAN).filter(pl.col("day").is_in(list(days)) & (pl.col("silver") != "kept"))
    return made - faulty.height


def send_late(settings: Settings, number: int) -> None:
    """One more trade of the first day, of an instrument of its own."""
    record = trade(900_000 + number, LATE, instrument=f"BOND_LATE_{number}")
    topic = registry.get("trades").topic
    produce(settings, topic, [b"late"], [json.dumps(record).encode()], [time.time_ns() // 10**6])


def live(client: AirflowApi) -> Run:
    """A run of `live`, ended."""
    (run,) = client.wait("live", [client.trigger("live")])
    assert run.state == "success"
    return run


def kill_tree(pid: int) -> None:
    """kill -9 of a process and whatever it started."""
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        process.kill()


def landed(desk: Desk) -> dict[str, Any]:
    """The bronze rows of every dataset: positions show a record that landed twice or not at all."""
    rows = desk.query(
        "select dataset, unit, sum(ok + rejected), min(first_position), max(next_position) "
        "from ledger.commits where starts_with(unit, 'kafka:') group by 1, 2"
    )
    assert all(count == until - first for _, _, count, first, until in rows)
    return {unit: count for _, unit, count, _, _ in rows}


def tries(client: AirflowApi, dag_id: str, run_id: str) -> dict[str, int]:
    return {task.task_id: task.try_number for task in client.tasks(dag_id, run_id)}


def test_a_second_backfill_beside_one_that_runs_is_refused_in_clear_words(
    settings: Settings, client: AirflowApi
) -> None:
    send(settings, PLAN, DAYS[:2])
    number = client.backfill("day", DAYS[0], DAYS[2], max_active_runs=1)
    with pytest.raises(ServiceError, match=r"(?i)already.*backfill|backfill.*(already|running)"):
        client.backfill("day", DAYS[1], DAYS[2])
    while not any(run.state == "running" for run in client.runs("day", "backfill")):
        time.sleep(0.5)
    client.cancel_backfill(number)
    runs = wait_backfilled(client, number)
    assert 1 <= len([run for run in runs if run.state == "success"]) < 3, runs


def test_one_broken_off_is_finished_by_another_backwards_beside_live(
    settings: Settings, client: AirflowApi, desk: Desk
) -> None:
    number = client.backfill("day", DAYS[0], DAYS[2], max_active_runs=1, backwards=True)
    live(client)
    runs = wait_backfilled(client, number)
    assert [run.state for run in runs] == ["success"] * 3
    began = [run.started for run in sorted(runs, key=lambda run: run.interval_start or LATE_HOUR)]
    assert began == sorted(began, key=lambda at: at or LATE_HOUR, reverse=True)
    assert desk.query("select count(*) from silver.trades") == [(kept(DAYS[:2]),)]
    assert [account for account in reconcile(settings) if account.is_open] == []


def test_a_task_or_a_run_that_is_cleared_and_run_again_changes_nothing(
    client: AirflowApi, desk: Desk
) -> None:
    run = live(client)
    before = (desk.fingerprints(), current(desk.layout), landed(desk))
    client.clear("live", run.run_id, ["build"])
    (again,) = client.wait("live", [run.run_id])
    assert (again.state, tries(client, "live", run.run_id)["build"]) == ("success", 2)
    assert (desk.fingerprints(), current(desk.layout), landed(desk)) == before
    day = client.runs("day", "backfill")[0]
    tried = tries(client, "day", day.run_id)
    client.clear("day", day.run_id)
    (again,) = client.wait("day", [day.run_id])
    assert again.state == "success"
    assert tries(client, "day", day.run_id) == {name: n + 1 for name, n in tried.items()}
    assert (desk.fingerprints(), landed(desk)) == (before[0], before[2])


def test_a_late_trade_rebuilds_its_hour_and_no_other(
    settings: Settings, client: AirflowApi, desk: Desk
) -> None:
    send_late(settings, 0)
    live(client)
    record = current(desk.layout)
    assert record is not None
    replaced = desk.query(
        "select distinct instrument_id, hour from audit.dirty where not is_whole "
        f"and build_id = '{record.build_id}' and model in ('silver.trades_history', "
        "'gold.candles_1s', 'gold.candles_1m', 'gold.candles_1h', 'gold.enriched_trades')"
    )
    assert replaced == [("BOND_LATE_0", LATE_HOUR)]
    others = desk.query(
        f"select distinct instrument_id from audit.dirty where build_id = '{record.build_id}' "
        "and starts_with(model, 'gold.') and instrument_id is not null"
    )
    assert others == [("BOND_LATE_0",)]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_build_task_killed_at_any_moment_is_tried_again_and_ends_as_undisturbed(
    seed: int, settings: Settings, client: AirflowApi, desk: Desk
) -> None:
    ((before,),) = desk.query("select count(*) from silver.trades")
    send_late(settings, 1 + seed)
    run_id = client.trigger("live")
    pid = wait_task(client, "live", run_id, "build")
    time.sleep(random.Random(seed).uniform(0, 6))
    kill_tree(pid)
    (run,) = client.wait("live", [run_id])
    assert run.state == "success"
    assert tries(client, "live", run_id)["build"] == 2
    assert desk.query("select count(*) from silver.trades") == [(before + 1,)]


def test_a_scheduler_killed_with_its_tasks_loses_and_repeats_nothing(
    settings: Settings, client: AirflowApi, desk: Desk
) -> None:
    send(settings, PLAN, DAYS[2:])
    run_id = client.trigger("live")
    wait_task(client, "live", run_id, "land")
    child = processes.find(settings.local / "run", SCHEDULER)
    assert child is not None
    family = processes.members(child)
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)
    stack.up(settings)
    (run,) = client.wait("live", [run_id])
    assert run.state == "success"
    live(client)
    assert desk.query(
        "select count(*) from silver.trades where not starts_with(instrument_id, 'BOND_LATE_')"
    ) == [(kept(DAYS),)]
    landed(desk)


def test_after_all_that_the_lake_equals_one_built_at_once_from_the_same_bronze(
    settings: Settings, desk: Desk, tmp_path: Path
) -> None:
    assert [account for account in reconcile(settings) if account.is_open] == []
    assert desk.fingerprints() == built_at_once(settings, tmp_path)
