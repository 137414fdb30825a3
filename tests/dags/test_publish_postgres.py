"""The `publish_postgres` flow: when it is there, what starts it, what it tells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from lake.postgres import PostgresError
from ticklake import flows_postgres
from ticklake.services.airflow import flow_names

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

UNREACHABLE = "postgresql://desk:secret@127.0.0.1:1/x"


def test_it_publishes_in_one_task_that_waits_for_no_builder(bag: "DagBag") -> None:
    (task,) = bag.dags["publish_postgres"].tasks
    assert (task.task_id, task.pool) == ("publish", "default_pool")


def test_it_follows_each_publication_one_run_at_a_time(scheduled: dict[str, Any]) -> None:
    dag = scheduled["publish_postgres"]
    assert [asset.name for asset in dag.timetable.asset_condition.objects] == ["gold"]
    assert dag.max_active_runs == 1


@pytest.mark.parametrize("url", ["", UNREACHABLE])
def test_it_is_there_where_a_database_is_named(
    dag_folder: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TICKLAKE_POSTGRES", url)
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(dag_folder / "publish_postgres.py")
    assert found.import_errors == {}
    assert list(found.dags) == (["publish_postgres"] if url else [])
    assert ("publish_postgres" in flow_names()) is bool(url)


def test_a_wrong_setting_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKLAKE_POSTGRES", "mysql://desk:secret@host/x")
    with pytest.raises(AirflowFailException, match="must be a URL of a PostgreSQL") as raised:
        flows_postgres.publish_postgres()
    assert "secret" not in str(raised.value)


def test_a_server_that_is_away_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.empty_lake import begin_as_empty

    begin_as_empty(tmp_path / "lake", tmp_path / "target", "core")
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    monkeypatch.setenv("TICKLAKE_POSTGRES", UNREACHABLE)
    with pytest.raises(PostgresError, match="is the server up") as raised:
        flows_postgres.publish_postgres()
    assert "secret" not in str(raised.value)
