"""Real Airflow on flows that fail, each in its own way: every failure leaves exactly one note."""

import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake import failures_table
from lake.failures import Failure, settled
from lake.layout import layout
from lake.project import PROJECT
from lake.settings import Settings, load_settings
from tests.alert_server import AlertServer, alert_server
from tests.desk import Desk, trade
from ticklake.services import airflow
from ticklake.services.airflow_api import AirflowApi
from ticklake.services.airflow_env import environment

pytestmark = pytest.mark.slow

FLOWS = ("broken", "away", "killed", "lost", "endless", "slow", "passing")
NOTED = {
    ("broken", "failed", "build", "damage"),
    ("away", "failed", "land", "broker_away"),
    ("killed", "failed", "build", "process_lost"),
    ("lost", "failed", "build", "process_lost"),
    ("endless", "timed_out", "", "run_timeout"),
    ("slow", "late", "", "late"),
    ("passing", "failed", "build", "unknown"),
}
FASTER = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__CORE__PARALLELISM": "8",
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def webhook() -> Iterator[AlertServer]:
    """Where notes are posted to."""
    with alert_server() as server:
        yield server


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, webhook: AlertServer) -> Iterator[Settings]:
    """A lake with a file cut off, and an Airflow beside it whose flows are the failing ones."""
    root = tmp_path_factory.mktemp("desk")
    flows = root / "dags"
    flows.mkdir()
    shutil.copy(PROJECT / "tests" / "failing_flows.py", flows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKE_URI", str(root / "lake"))
        for name in ("LAKE_LOCAL", "TICKLAKE_INBOX", "TICKLAKE_AIRFLOW_PASSWORD"):
            patch.delenv(name, raising=False)
        patch.setenv("TICKLAKE_KAFKA_BOOTSTRAP", "")
        patch.setenv("TICKLAKE_ALERT_WEBHOOK", webhook.address)
        patch.setenv("TICKLAKE_AIRFLOW_PORT", str(_free_port()))
        given = FASTER | {"AIRFLOW__CORE__DAGS_FOLDER": str(flows)}
        patch.setattr(airflow, "environment", lambda settings: environment(settings) | given)
        patch.setattr(airflow, "wait_dags", _wait_flows)
        settings = load_settings()
        Desk(settings.root, root / "target").land("trades", [trade(1, "12:00:00")])
        bronze = next(layout(settings).bronze("trades").rglob("*.parquet"))
        bronze.write_bytes(bronze.read_bytes()[:100])
        try:
            airflow.start(settings)
            yield settings
        finally:
            airflow.stop(settings)


def _wait_flows(client: AirflowApi, *_: object) -> None:
    deadline = time.monotonic() + 120
    while not set(FLOWS) <= set(client.dags()):
        assert time.monotonic() < deadline, client.import_errors()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[AirflowApi]:
    """A client of that Airflow."""
    with airflow.api(settings) as api:
        yield api


@pytest.fixture(scope="module")
def runs(settings: Settings, client: AirflowApi) -> dict[str, str]:
    """Flow -> its run, all of which have ended and been told of."""
    started = {flow: client.trigger(flow) for flow in FLOWS}
    for flow, run in started.items():
        client.wait(flow, [run], timeout_s=400)
    deadline = time.monotonic() + 120
    while len(_notes(settings)) < len(NOTED) and time.monotonic() < deadline:
        time.sleep(1)
    time.sleep(5)  # for one too many
    return started


def _notes(settings: Settings) -> list[Failure]:
    rows = failures_table.read(layout(settings))
    return [row for row in rows if row.kind != "succeeded"]


def _note(settings: Settings, flow: str) -> Failure:
    (found,) = [row for row in _notes(settings) if row.flow == flow]
    return found


def test_every_failure_is_in_the_table_once(settings: Settings, runs: dict[str, str]) -> None:
    rows = _notes(settings)
    assert Counter((r.flow, r.kind, r.task, r.rule) for r in rows) == Counter(NOTED)
    assert {row.run_id for row in rows} == set(runs.values())


def test_every_failure_is_posted_once(runs: dict[str, str], webhook: AlertServer) -> None:
    told = Counter((b["flow"], b["kind"], b["task"], b["rule"]) for b in webhook.bodies)
    assert told == Counter(NOTED)


def test_a_run_is_red_where_a_task_failed(client: AirflowApi, runs: dict[str, str]) -> None:
    states = {flow: client.run(flow, run).state for flow, run in runs.items()}
    assert states == {flow: "success" if flow == "slow" else "failed" for flow in FLOWS}
    tasks = {task.task_id: task.state for task in client.tasks("broken", runs["broken"])}
    assert tasks == {"build": "failed", "reconcile": "upstream_failed"}


def test_what_cannot_be_mended_is_tried_once_and_what_can_again(
    settings: Settings, runs: dict[str, str]
) -> None:
    tries = {flow: _note(settings, flow) for flow in ("broken", "away")}
    assert {flow: (n.try_number, n.tries) for flow, n in tries.items()} == {
        "broken": (1, 4),
        "away": (2, 2),
    }


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("broken", "it has 100 bytes, the log says"),
        ("away", "no Kafka broker answers at nowhere:9092"),
        ("killed", "killed process"),
        ("lost", "killed process"),
        ("passing", "not this time"),
    ],
)
def test_the_note_is_in_the_log_of_the_task_also_where_the_task_was_killed(
    settings: Settings, client: AirflowApi, runs: dict[str, str], flow: str, says: str
) -> None:
    note = _note(settings, flow)
    log = client.log(flow, runs[flow], note.task, note.try_number)
    assert log.count(f"FAILED: {flow} / {note.task}") == 1
    assert says in log.partition("FAILED: ")[2]
    assert note.command in log


def test_the_note_leads_to_the_log(settings: Settings, runs: dict[str, str]) -> None:
    url = airflow.log_in(settings).url
    assert _note(settings, "killed").log.startswith(f"{url}/dags/killed/runs/")
    assert _note(settings, "killed").log.endswith("/tasks/build?try_number=1")


def test_the_address_of_the_webhook_is_in_no_file(settings: Settings, runs: dict[str, str]) -> None:
    files = [path for path in settings.root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []


def test_a_task_that_succeeds_later_settles_its_failure_and_a_late_run_that_ends_its_own(
    settings: Settings, client: AirflowApi, runs: dict[str, str]
) -> None:
    Path(settings.root, "PASSING").touch()
    (run,) = client.wait("passing", [client.trigger("passing")])
    assert run.state == "success"
    deadline = time.monotonic() + 60
    open_ = set(FLOWS)
    while "passing" in open_ and time.monotonic() < deadline:
        rows = failures_table.read(layout(settings))
        open_ = {row.flow for row, at in settled(rows) if at is None}
        time.sleep(1)
    assert open_ == set(FLOWS) - {"passing", "slow"}
