"""Real Airflow: a backfill of five days from its command line while `live` keeps running."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import psutil
import pytest

from checks.reconcile import reconcile
from ingestion.generate.plan import Plan
from ingestion.generate.stream import truth
from ingestion.land import land_generated
from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings
from tests.desk import Desk
from tests.own_airflow import built_at_once, own_airflow, send
from ticklake.services import airflow, processes, stack
from ticklake.services.airflow_api import AirflowApi, Run
from ticklake.services.airflow_env import log_in
from ticklake.services.processes import ServiceError

pytestmark = pytest.mark.slow

FIRST = date(2025, 10, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(5)]
TASKS = {
    "live": {"land", "build", "reconcile"},
    "day": {"check", "land", "build", "reconcile"},
}
PLAN = Plan(days=tuple(DAYS), quotes=6_000, trades=5_000, securities=500)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an empty lake in a temporary folder, with Airflow and the broker up beside it."""
    with own_airflow(tmp_path_factory.mktemp("lake")) as settings:
        yield settings


@pytest.fixture
def client(settings: Settings) -> Iterator[AirflowApi]:
    """A client of that Airflow."""
    with airflow.api(settings) as api:
        yield api


def _backfilled(client: AirflowApi) -> list[Run]:
    return [run for run in client.runs("day", "backfill") if run.state in {"success", "failed"}]


def test_a_backfill_from_the_command_line_and_live_runs_succeed_side_by_side(
    settings: Settings, client: AirflowApi
) -> None:
    for day in DAYS:
        land_generated(settings, "securities", PLAN, day)
    send(settings, PLAN, DAYS[:3])
    created = airflow.run_cli(
        settings,
        *("backfill", "create", "--dag-id", "day", "--reprocess-behavior", "completed"),
        *("--from-date", DAYS[0].isoformat(), "--to-date", DAYS[-1].isoformat()),
    )
    assert created.returncode == 0, created.stdout + created.stderr

    live: list[str] = []
    send(settings, PLAN, DAYS[3:])
    deadline = time.monotonic() + 600
    while len(_backfilled(client)) < len(DAYS):
        assert time.monotonic() < deadline, client.runs("day", "backfill")
        live.append(client.trigger("live"))
        client.wait("live", live[-1:], timeout_s=300)

    backfill = client.runs("day", "backfill")
    assert [run.interval_start for run in backfill] == [
        datetime(day.year, day.month, day.day, tzinfo=UTC) for day in DAYS
    ]
    assert {run.state for run in backfill} == {"success"}
    assert {run.state for run in client.wait("live", live)} == {"success"}
    for run in [*backfill, client.run("live", live[0])]:
        tasks = client.tasks(run.dag_id, run.run_id)
        assert {task.task_id for task in tasks} == TASKS[run.dag_id]
        assert {task.state for task in tasks} == {"success"}
    for run in backfill:
        landed = client.xcom("day", run.run_id, "land")
        assert run.interval_start is not None
        assert run.interval_end is not None
        assert landed["start"] == run.interval_start.date().isoformat()
        assert landed["end"] == run.interval_end.date().isoformat()


def test_the_backfill_doubled_and_lost_no_row(settings: Settings, client: AirflowApi) -> None:
    client.wait("live", [client.trigger("live")])
    injected = truth(PLAN)
    rejected = injected.filter(pl.col("verdict") == "rejected").height
    duplicates = injected.filter(pl.col("silver") == "duplicate").height
    with lakehouse.connect(layout(settings)) as conn:
        counts = conn.execute(
            "select (select count(*) from silver.trades), (select count(*) from silver.quotes), "
            "(select count(*) from silver.trade_duplicates), "
            "(select count(*) from quarantine.trades)"
        ).fetchall()
    kept = PLAN.trades - rejected - duplicates
    assert counts == [(kept, PLAN.quotes, duplicates, rejected)]
    assert [account for account in reconcile(settings) if account.is_open] == []


def test_after_the_backfill_the_lake_equals_one_built_at_once_from_the_same_bronze(
    settings: Settings, tmp_path: Path
) -> None:
    used = Desk(settings.root, tmp_path / "target")
    assert used.fingerprints() == built_at_once(settings, tmp_path)


def test_a_run_started_by_hand_recomputes_the_day_it_names(client: AirflowApi) -> None:
    run_id = client.trigger("day", {"day": "2013-10-08"})
    (run,) = client.wait("day", [run_id])
    landed = client.xcom("day", run_id, "land")
    assert run.state == "success"
    assert (landed["start"], landed["end"]) == ("2013-10-08", "2013-10-09")


def test_a_bad_day_is_refused_before_a_run_is_made(client: AirflowApi) -> None:
    before = len(client.runs("day"))
    with pytest.raises(ServiceError, match="is not a 'date'"):
        client.trigger("day", {"day": "2013-13-08"})
    assert len(client.runs("day")) == before


def test_a_day_that_has_not_begun_fails_on_the_first_try(client: AirflowApi) -> None:
    run_id = client.trigger("day", {"day": "9999-01-01"})
    (run,) = client.wait("day", [run_id])
    tries = {task.task_id: task.try_number for task in client.tasks("day", run_id)}
    assert run.state == "failed"
    assert tries["check"] == 1


def test_up_twice_leaves_one_of_each(settings: Settings) -> None:
    before = {service.name: service.pid for service in stack.status(settings)}
    stack.up(settings)
    assert {service.name: service.pid for service in stack.status(settings)} == before


def test_the_password_lies_in_a_file_only_we_can_read(settings: Settings) -> None:
    kept = Path(log_in(settings).source)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_down_leaves_no_process_behind(settings: Settings) -> None:
    run_dir = settings.local / "run"
    children = [processes.find(run_dir, service.name) for service in stack.status(settings)]
    family = [process for child in children if child for process in processes.members(child)]
    assert len(family) >= len(children)
    assert stack.down(settings)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not any(service.running for service in stack.status(settings))
