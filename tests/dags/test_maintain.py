"""The `maintain` flow: its order, its pool, its params, and what its tasks do to a lake."""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from tests.faults.landed import Landed
from ticklake import flows_maintain

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture
def landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Landed:
    """Three batches, in the lake that the environment names."""
    made = Landed(tmp_path / "lake", tmp_path / "dbt")
    made.land_batches(3)
    monkeypatch.setenv("LAKE_URI", str(made.root))
    return made


def test_it_maintains_in_the_builders_slot_and_verifies_after(bag: "DagBag") -> None:
    dag = bag.dags["maintain"]
    edges = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert edges == {"maintain": {"verify"}, "verify": set()}
    assert {task.task_id: task.pool for task in dag.tasks} == {
        "maintain": "builder",
        "verify": "default_pool",
    }


def test_it_runs_once_a_night(scheduled: dict[str, Any]) -> None:
    dag = scheduled["maintain"]
    assert dag.timetable.summary == "30 3 * * *"
    assert dag.max_active_runs == 1
    assert dag.catchup is False


@pytest.mark.parametrize("given", [{"dry_run": "yes"}, {"deep": 1}])
def test_a_bad_param_is_refused(bag: "DagBag", given: dict[str, Any]) -> None:
    params = deepcopy(bag.dags["maintain"].params)
    with pytest.raises(ParamValidationError):
        params.update(given)


def test_its_tasks_tell_what_they_did(landed: Landed) -> None:
    before = sorted(landed.root.rglob("*"))
    said = flows_maintain.maintain(dry_run=True)
    assert len(landed.files()) == 6
    assert [path for path in sorted(landed.root.rglob("*")) if "run" not in path.parts] == [
        path for path in before if "run" not in path.parts
    ]
    done = flows_maintain.maintain()
    assert len(landed.files()) == 2
    assert said == done
    assert [(one["table"], one["compacted"], one["into"]) for one in done] == [
        ("bronze.trades", 6, 2)
    ]
    assert flows_maintain.verify() == {"tables": 2, "files": 3, "rows": 36}


def test_a_broken_file_turns_the_run_red_without_a_retry(landed: Landed) -> None:
    path = landed.files()[0]
    path.unlink()
    with pytest.raises(AirflowFailException, match=f"{path}: data file missing"):
        flows_maintain.verify()
