"""The flow `replay_quarantine` as Airflow reads it, and one run of it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowFailException

from contracts.codes import RejectCode
from contracts.names import dataset_names
from tests.desk import Desk
from ticklake import flows_asked
from ticklake.services.airflow import POOLS

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

NAME = "replay_quarantine"
RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["replay_quarantine"]
run = dag.test(run_conf=json.loads(sys.argv[2]))
task = run.get_task_instance("replay")
print("RESULT", json.dumps([task.state, task.xcom_pull(task_ids="replay")]))
"""


def test_the_form_offers_every_dataset_and_code_and_nothing_else(bag: "DagBag") -> None:
    params = bag.dags[NAME].params
    enums = {key: params.get_param(key).schema.get("enum") for key in params}
    assert enums == {
        "dataset": ["all", *dataset_names()],
        "code": ["all", *(code.value for code in RejectCode)],
        "source": None,
        "since": None,
        "dry_run": None,
    }
    for key in params:
        param = params.get_param(key)
        assert param.schema.get("type") and param.description and param.schema.get("title"), key
        assert param.resolve() == param.value, key


def test_it_runs_only_when_asked_and_waits_for_its_turn_to_land(bag: "DagBag") -> None:
    dag = bag.dags[NAME]
    assert dag.schedule is None
    assert {task.task_id: task.pool for task in dag.tasks} == {
        "check": "default_pool",
        "replay": "lander",
    }
    assert "lander" in POOLS
    assert dag.max_active_runs == 1


def test_a_moment_that_has_not_been_is_refused_at_once() -> None:
    now = datetime(2025, 10, 6, tzinfo=UTC)
    assert flows_asked.since("2025-10-05T23:59:59", now) == "2025-10-05T23:59:59"
    assert flows_asked.since(None, now) is None
    with pytest.raises(AirflowFailException, match=r"`since` 2025-10-06T02:00:01\+02:00 lies"):
        flows_asked.since("2025-10-06T02:00:01+02:00", now)


@pytest.mark.slow
def test_a_run_tells_what_it_looked_at(tmp_path: Path, dag_folder: Path) -> None:
    desk = Desk(tmp_path / "lake", tmp_path)
    desk.land("trades", [b"no json", b"nor this"], source="market.trades.v1")
    environment = {
        **os.environ,
        "LAKE_URI": str(desk.root),
        "TICKLAKE_KAFKA_BOOTSTRAP": "",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder),
    }
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    form = json.dumps({"dataset": "trades", "dry_run": True})
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(dag_folder), form],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    state, (told,) = json.loads(lines[-1].removeprefix("RESULT "))
    assert state == "success"
    assert (told["examined"], told["passed"]) == (2, 0)
    assert told["still_rejected"] == {"PARSE_ERROR": 2}
