"""Real Airflow on a real PostgreSQL, which it also publishes to."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psutil
import pytest

from checks.reconcile import reconcile
from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from ingestion.land import land_generated
from ingestion.produce import produce
from lake.settings import Settings, load_settings
from tests.postgres_server import Postgres, postgres_server
from ticklake.services import airflow, processes, stack
from ticklake.services.airflow_api import AirflowApi, Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DAYS = [date(2025, 10, 1) + timedelta(days=n) for n in range(3)]
PLAN = Plan(days=tuple(DAYS), quotes=3_000, trades=3_000, securities=300)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own."""
    yield from postgres_server()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, server: Postgres) -> Iterator[Settings]:
    """A lake in a temporary folder, with Airflow on PostgreSQL and the broker up beside it."""
    lake = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LAKE_LOCAL", "TICKLAKE_INBOX", "TICKLAKE_AIRFLOW_PASSWORD"):
            patch.delenv(name, raising=False)
        patch.setenv("LAKE_URI", str(lake))
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", server.create("airflow"))
        patch.setenv("TICKLAKE_POSTGRES", server.create("market"))
        patch.setenv("TICKLAKE_POSTGRES_TABLES", "gold.*,silver.trades,audit.*,-audit.dirty")
        patch.setenv("TICKLAKE_KAFKA_BOOTSTRAP", f"127.0.0.1:{_free_port()}")
        patch.setenv("TICKLAKE_AIRFLOW_PORT", str(_free_port()))
        settings = load_settings()
        try:
            stack.up(settings)
            yield settings
        finally:
            stack.down(settings)


@pytest.fixture
def client(settings: Settings) -> Iterator[AirflowApi]:
    """A client of that Airflow."""
    with airflow.api(settings) as api:
        yield api


def _send(settings: Settings, day: date) -> None:
    for dataset in ("quotes", "trades"):
        made = stream(PLAN, dataset, day)
        topic = registry.get(dataset).topic
        produce(settings, topic, made.keys, made.values, made.recv_ts_ms.tolist())


def _wait(client: AirflowApi, dag_id: str, count: int, run_type: str) -> list[Run]:
    deadline = time.monotonic() + 900
    while True:
        runs = [r for r in client.runs(dag_id, run_type) if r.state in {"success", "failed"}]
        if len(runs) >= count:
            return runs
        assert time.monotonic() < deadline, client.runs(dag_id, run_type)
        time.sleep(1)


def test_airflow_keeps_its_runs_in_postgresql(settings: Settings, server: Postgres) -> None:
    assert not (airflow.home(settings) / "airflow.db").exists()
    found = server.query("select dag_id from dag order by 1", "airflow")
    assert {name for (name,) in found} == airflow.flow_names()
    pools = dict(server.query("select pool, slots from slot_pool", "airflow"))
    assert {name: pools[name] for name in airflow.POOLS} == {"builder": 1, "lander": 1}


def test_a_backfill_live_and_a_publication_run_side_by_side(
    settings: Settings, client: AirflowApi
) -> None:
    for day in DAYS:
        land_generated(settings, "securities", PLAN, day)
        _send(settings, day)
    created = airflow.run_cli(
        settings,
        *("backfill", "create", "--dag-id", "day", "--reprocess-behavior", "completed"),
        *("--from-date", DAYS[0].isoformat(), "--to-date", DAYS[-1].isoformat()),
    )
    assert created.returncode == 0, created.stdout + created.stderr
    live = client.trigger("live")
    runs = [*_wait(client, "day", len(DAYS), "backfill"), *client.wait("live", [live])]
    assert {run.state for run in runs} == {"success"}
    overlapping = [
        (a.run_id, b.run_id)
        for a in runs
        for b in runs
        if a.run_id < b.run_id and a.started < b.ended and b.started < a.ended
    ]
    assert overlapping
    published = client.wait("publish_postgres", [client.trigger("publish_postgres")])
    assert {run.state for run in published} == {"success"}
    accounts = reconcile(settings)
    assert [account for account in accounts if account.is_open] == []
    assert any(account.name == "Postgres = published" for account in accounts)


def test_a_server_that_is_restarted_in_mid_run_costs_no_run(
    settings: Settings, client: AirflowApi, server: Postgres
) -> None:
    runs = {"day": client.trigger("day", {"day": DAYS[1].isoformat()})}
    runs["live"] = client.trigger("live")
    deadline = time.monotonic() + 120
    while client.run("day", runs["day"]).started is None:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    time.sleep(3)
    server.stop()
    time.sleep(10)
    server.start()
    airflow.wait_healthy(settings, client, datetime.now(UTC))
    for dag_id, run_id in runs.items():
        (run,) = client.wait(dag_id, [run_id], timeout_s=600)
        assert run.state == "success", (dag_id, client.tasks(dag_id, run_id))
    client.wait("publish_postgres", [client.trigger("publish_postgres")])
    assert [account for account in reconcile(settings) if account.is_open] == []


def test_the_servers_password_is_in_no_file_and_no_argument(
    settings: Settings, server: Postgres
) -> None:
    secret = server.password.encode()
    files = [path for path in settings.root.rglob("*") if path.is_file()]
    assert any(path.name == "airflow-scheduler.log" for path in files)
    assert [path for path in files if secret in path.read_bytes()] == []
    children = [processes.find(settings.local / "run", name) for name in airflow.COMPONENTS]
    family = [process for child in children if child for process in processes.members(child)]
    assert len(family) >= len(children)
    for process in family:
        try:
            assert server.password not in " ".join(process.cmdline())
        except psutil.Error:
            continue
