"""No flow hides a failure, and each tells of it: what the DAGs say, and one run that fails."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from lake import failures_table
from lake.failures import Failure
from lake.kafka_client import BrokerUnreachable
from lake.layout import layout
from lake.settings import load_settings
from tests.alert_server import PATH, alert_server
from ticklake.failures import callbacks
from ticklake.flow_errors import AccountsOpen, final_errors

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

# With these a task that comes after a failed one does not run, and so is not green.
PASSES_ON = {
    "all_success",
    "none_failed",
    "none_failed_min_one_success",
    "all_done_min_one_success",
}
PASSES_ON -= {"all_done_min_one_success"}


def hidden(tasks: Iterable[Any]) -> set[str]:
    """Tasks that may fail in a run that ends green: every way to a leaf is cut behind them."""
    known = {task.task_id: task for task in tasks}

    def shows(name: str) -> bool:
        after = known[name].downstream_task_ids
        return not after or any(
            known[next_one].trigger_rule in PASSES_ON and shows(next_one) for next_one in after
        )

    return {name for name in known if not shows(name)}


def test_no_flow_ends_green_over_a_failed_task(bag: "DagBag") -> None:
    assert {name: hidden(dag.tasks) for name, dag in bag.dags.items()} == {
        name: set() for name in bag.dags
    }


@pytest.mark.parametrize(
    ("rule_of_leaf", "found"), [("all_success", set()), ("all_done", {"land", "build"})]
)
def test_a_leaf_that_runs_in_any_case_would_be_seen_to_hide_what_failed(
    rule_of_leaf: str, found: set[str]
) -> None:
    @dataclass
    class Step:
        task_id: str
        downstream_task_ids: set[str]
        trigger_rule: str = "all_success"

    steps = [Step("land", {"build"}), Step("build", {"tell"}), Step("tell", set(), rule_of_leaf)]
    assert hidden(steps) == found


def test_every_task_and_run_that_fails_leaves_a_note(bag: "DagBag") -> None:
    for dag in bag.dags.values():
        assert dag.on_failure_callback in (callbacks.run_failed, [callbacks.run_failed])
        for task in dag.tasks:
            assert list(task.on_failure_callback) == [callbacks.task_failed], task
            assert list(task.on_success_callback) == [callbacks.task_succeeded], task


def test_flows_that_somebody_waits_for_have_a_deadline_after_which_they_are_late(
    bag: "DagBag",
) -> None:
    due = {
        name: alert.interval
        for name, dag in bag.dags.items()
        for alert in dag.deadline or []
        if alert.callback.path == "ticklake.failures.callbacks.run_late"
    }
    assert due == {"live": timedelta(minutes=20), "day": timedelta(hours=4)}


def test_a_final_error_is_not_tried_again_and_keeps_its_cause() -> None:
    with pytest.raises(AirflowFailException, match=r"^AccountsOpen: 1 acc") as told, final_errors():
        raise AccountsOpen("1 accounts do not close")
    assert isinstance(told.value.__cause__, AccountsOpen)


def test_an_error_that_passes_is_left_as_it_is() -> None:
    with pytest.raises(BrokerUnreachable), final_errors():
        raise BrokerUnreachable("no Kafka broker answers")


CLEAR = """
from airflow.api.common.trigger_dag import trigger_dag
from airflow.models.deadline import Deadline
from airflow.models.taskinstance import clear_task_instances
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select
with create_session() as session:
    run = trigger_dag("live", triggered_by=DagRunTriggeredByType.TEST, session=session)
    session.flush()
    due = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).all()
    late_after = [alert.deadline_time - run.queued_at for alert in due]
    clear_task_instances(run.get_task_instances(session=session), session)
    print("RESULT", late_after, run.state)
"""


def test_a_run_that_may_be_late_can_be_cleared(tmp_path: Path, dag_folder: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder),
    }
    airflow = [sys.executable, "-m", "airflow"]
    script = [sys.executable, "-c", CLEAR]
    for command in ([*airflow, "db", "migrate"], [*airflow, "dags", "reserialize"], script):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert told == ["RESULT [datetime.timedelta(seconds=1200)] queued"]


DEADLINE = {"id": "d1", "deadline_time": "2025-10-02T00:20:00Z"}
LATE_RUN = {
    "dag_id": "live",
    "dag_run_id": "r1",
    "state": "running",
    "run_type": "scheduled",
    "queued_at": "2025-10-02T00:00:00Z",
    "conf": {},
}


@pytest.mark.parametrize(
    ("given", "noted"),
    [
        ({}, 1),
        ({"state": "queued"}, 1),
        ({"state": "failed"}, 0),
        ({"state": "success"}, 0),
        ({"run_type": "backfill"}, 0),
    ],
)
def test_a_run_is_late_while_it_is_under_way_and_no_backfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], noted: int
) -> None:
    monkeypatch.setenv("LAKE_URI", str(tmp_path))
    monkeypatch.delenv("TICKLAKE_ALERT_WEBHOOK", raising=False)
    for _ in range(2):  # told once, however often it is called
        callbacks.run_late({"dag_run": LATE_RUN | given, "deadline": DEADLINE})
    rows = failures_table.read(layout(load_settings()))
    state = given.get("state", "running")
    told = ("late", f"the run is {state}, queued 00:00:00, due 00:20:00 UTC")
    assert [(row.kind, row.error) for row in rows] == [told] * noted


@pytest.mark.parametrize("wrong", ["TICKLAKE_BATCH_ROWS", "TICKLAKE_ALERT_WEBHOOK"])
def test_wrong_settings_do_not_keep_a_note_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("LAKE_URI", str(tmp_path))
    monkeypatch.delenv("TICKLAKE_ALERT_WEBHOOK", raising=False)
    monkeypatch.setenv(wrong, "nonsense")
    callbacks.run_late({"dag_run": LATE_RUN, "deadline": DEADLINE})
    assert len(failures_table.read(layout(load_settings({"LAKE_URI": str(tmp_path)})))) == 1


def test_a_callback_that_cannot_do_its_work_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        for call in (callbacks.task_failed, callbacks.run_failed, callbacks.run_late):
            call({})
        callbacks.task_succeeded({})
    assert len(caplog.records) >= 3


RUN = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["live"]
for address in sys.argv[2:]:
    os.environ["TICKLAKE_ALERT_WEBHOOK"] = address
    run = dag.test()
    told = {t.task_id: t.state for t in run.get_task_instances()}
    print("RESULT", json.dumps({"run": run.run_id, "state": run.state, **told}), flush=True)
"""


@dataclass
class Ran:
    """Two runs of `live` that failed: the first with a webhook that answers, then a dead one."""

    results: list[dict[str, str]]
    output: str
    posted: list[dict[str, Any]]
    rows: list[Failure]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, dag_folder: Path) -> Ran:
    """`live` with contracts switched off: it must not land, and says so."""
    root = tmp_path_factory.mktemp("desk")
    environment = {
        **os.environ,
        "LAKE_URI": str(root / "lake"),
        "TICKLAKE_KAFKA_BOOTSTRAP": "",
        "PANDERA_VALIDATION_ENABLED": "False",
        "TICKLAKE_ALPACA_KEY": "contract checks",  # part of what the error says
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder),
    }
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}{PATH}"
    with alert_server() as server:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(dag_folder), server.address, dead],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    output = done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    results = [json.loads(line.removeprefix("RESULT ")) for line in lines]
    assert len(results) == 2, output[-4000:]
    rows = failures_table.read(layout(load_settings({"LAKE_URI": str(root / "lake")})))
    return Ran(results, output, server.bodies, rows)


def test_a_run_with_a_failed_task_is_red_whether_or_not_the_webhook_lives(ran: Ran) -> None:
    for result in ran.results:
        result.pop("run")
        assert result == {
            "state": "failed",
            "land": "failed",
            "build": "upstream_failed",
            "reconcile": "upstream_failed",
        }


def test_each_failed_run_leaves_one_note_in_the_table_with_cause_and_command(ran: Ran) -> None:
    assert [(r.flow, r.task, r.kind, r.rule, r.try_number, r.tries) for r in ran.rows] == [
        ("live", "land", "failed", "contracts_off", 1, 4)
    ] * 2
    assert "PANDERA_VALIDATION_ENABLED" in ran.rows[0].error
    assert ran.rows[0].command.startswith("unset PANDERA_VALIDATION_ENABLED")


def test_the_note_is_in_the_log_in_one_piece(ran: Ran) -> None:
    assert ran.output.count("FAILED: live / land") == 2
    assert "type    unset PANDERA_VALIDATION_ENABLED PANDERA_VALIDATION_DEPTH" in ran.output


def test_the_note_is_posted_and_a_dead_webhook_is_a_line_in_the_log(ran: Ran) -> None:
    assert [body["failure_id"] for body in ran.posted] == [ran.rows[0].failure_id]
    assert ran.output.count("the note was not posted: the webhook does not answer") == 1


def test_the_webhooks_address_is_in_no_log_and_no_secret_in_the_table(ran: Ran) -> None:
    assert "s3cret" not in ran.output
    assert [row for row in ran.rows if "contract checks" in row.error] == []
    assert "*** are switched off" in ran.rows[0].error
