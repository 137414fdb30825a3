"""The DAG folder as Airflow reads it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts.registry import all_contracts
from ticklake.services.airflow import POOLS

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

BUILDING = {"live", "day"}
FLOWS = BUILDING | {"maintain", "publish_postgres", "reconcile", "replay_quarantine"}


def test_every_file_imports(bag: "DagBag") -> None:
    assert bag.import_errors == {}


def test_the_folder_holds_exactly_the_known_flows(bag: "DagBag", dag_folder: Path) -> None:
    assert set(bag.dags) == FLOWS
    assert {path.stem for path in dag_folder.glob("*.py")} == FLOWS


def test_a_flow_is_named_after_its_file(bag: "DagBag") -> None:
    assert {name: Path(dag.fileloc).stem for name, dag in bag.dags.items()} == {
        name: name for name in FLOWS
    }


def test_a_flow_fits_two_screens(dag_folder: Path) -> None:
    for path in dag_folder.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 120, path.name


def test_reading_the_folder_loads_nothing_heavy(dag_folder: Path) -> None:
    heavy = "{'polars', 'pandera', 'duckdb', 'deltalake', 'dbt', 'confluent_kafka'}"
    script = (
        "import runpy, sys\n"
        "for path in sys.argv[1:]: runpy.run_path(path)\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    files = [str(path) for path in dag_folder.glob("*.py")]
    done = subprocess.run(
        [sys.executable, "-c", script, *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(BUILDING))
def test_a_flow_lands_then_builds_then_reconciles(bag: "DagBag", name: str) -> None:
    edges = {task.task_id: task.downstream_task_ids for task in bag.dags[name].tasks}
    # The last task of `day` looks at what landed, too: it says so of the days that it closes.
    first = {"land": {"build"}} if name == "live" else {"check": {"land"}}
    then = {} if name == "live" else {"land": {"build", "reconcile"}}
    assert edges == {**first, **then, "build": {"reconcile"}, "reconcile": set()}


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_run_is_red_if_any_of_its_tasks_is(bag: "DagBag", name: str) -> None:
    # A leaf that runs whatever happened before it would make the whole run green.
    rules = {task.task_id: task.trigger_rule.value for task in bag.dags[name].tasks}
    assert set(rules.values()) == {"all_success"}, rules


@pytest.mark.parametrize("name", sorted(FLOWS - {"live", "maintain", "publish_postgres"}))
def test_what_was_asked_for_is_looked_at_before_anything_waits_for_its_turn(
    bag: "DagBag", name: str
) -> None:
    dag = bag.dags[name]
    assert [task.task_id for task in dag.roots] == ["check"]
    assert dag.get_task("check").pool == "default_pool"


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_flow_has_an_owner_tags_and_docs(bag: "DagBag", name: str) -> None:
    dag = bag.dags[name]
    assert {task.owner for task in dag.tasks} == {"market-data"}
    assert name in dag.tags
    assert dag.doc_md and all(f"`{task.task_id}`" in dag.doc_md for task in dag.tasks)


@pytest.mark.parametrize("name", sorted(BUILDING))
def test_landing_and_building_wait_their_turn_in_pools_that_are_created(
    bag: "DagBag", name: str
) -> None:
    pools = {task.task_id: task.pool for task in bag.dags[name].tasks}
    assert pools["land"] == "lander"
    assert pools["build"] == "builder"


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_no_task_waits_in_a_pool_that_is_not_created(bag: "DagBag", name: str) -> None:
    assert {task.pool for task in bag.dags[name].tasks} - {"default_pool"} <= set(POOLS)


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_tasks_are_retried_with_growing_waits(scheduled: dict[str, Any], name: str) -> None:
    for task in scheduled[name].tasks:
        assert task.retries > 0
        assert task.retry_exponential_backoff > 1
        assert task.max_retry_delay is not None


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_flow_is_neither_paused_nor_does_it_catch_up(
    scheduled: dict[str, Any], name: str
) -> None:
    assert scheduled[name].is_paused_upon_creation is False
    assert scheduled[name].catchup is False


def test_only_one_live_run_is_active(scheduled: dict[str, Any]) -> None:
    assert scheduled["live"].max_active_runs == 1


def test_live_goes_before_a_backfill(scheduled: dict[str, Any]) -> None:
    live, day = scheduled["live"].tasks, scheduled["day"].tasks
    # A day's first task weighs as much as the whole flow, by Airflow's default rule.
    heaviest = sum(task.priority_weight for task in day)
    for task in live:
        assert task.priority_weight > heaviest
        assert "Absolute" in type(task.weight_rule).__name__


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_every_param_is_typed_described_and_has_a_default(bag: "DagBag", name: str) -> None:
    params = bag.dags[name].params
    assert params, name
    for key in params:
        param = params.get_param(key)
        assert param.schema.get("type"), key
        assert param.description, key
        assert param.resolve() == param.value, key


def test_the_datasets_offered_are_those_with_a_contract(bag: "DagBag") -> None:
    for name in BUILDING:
        offered = bag.dags[name].params.get_param("datasets").schema["examples"]
        assert offered == sorted(all_contracts())
        assert bag.dags[name].params.get_param("datasets").schema["items"]["enum"] == offered


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_whatever_changes_the_lake_can_be_tried_without_changing_it(
    bag: "DagBag", name: str
) -> None:
    changes_nothing = {"publish_postgres", "reconcile"}
    assert ("dry_run" in bag.dags[name].params) == (name not in changes_nothing)


def test_the_schedule_table_names_every_flow_and_pool(dag_folder: Path) -> None:
    text = (dag_folder / "README.md").read_text(encoding="utf-8")
    schedule, forms = text.split("## Assets")[0].split("## Forms")
    for part in (schedule, forms):
        assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == FLOWS
    assert all(f"`{pool}`" in text for pool in POOLS)
