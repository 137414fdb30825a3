"""Which PostgreSQL database Airflow is given, and what is refused before anything is touched."""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from lake.settings import load_settings
from tests.postgres_server import Postgres, postgres_server
from ticklake.services import airflow_database
from ticklake.services.airflow_env import environment
from ticklake.services.processes import ServiceError

DONE = [sys.executable, "-c", "print('migrated')"]
BROKEN = [sys.executable, "-c", "raise SystemExit('no such revision')"]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own."""
    yield from postgres_server()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICKLAKE_AIRFLOW_DATABASE", airflow_database.AIRFLOWS, "TICKLAKE_POSTGRES"):
        monkeypatch.delenv(name, raising=False)


def _migrate(home: Path, command: list[str] = DONE) -> list[str]:
    """What was said on the way; empty where there was nothing to do."""
    said: list[str] = []
    home.mkdir(exist_ok=True)
    airflow_database.migrate(home, command, {}, said.append, cwd=home)
    return said


def test_a_database_is_prepared_once_and_again_after_it_was_emptied(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", server.create("once"))
    assert _migrate(tmp_path) == ["preparing Airflow's database (once)"]
    assert _migrate(tmp_path) == []
    found = server.query("select home, airflow_version from ticklake_installation", "once")
    assert found == [(str(tmp_path), version("apache-airflow-core"))]
    server.query("drop table ticklake_installation", "once")
    assert _migrate(tmp_path) == ["preparing Airflow's database (once)"]


def test_a_preparation_that_failed_is_made_again(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", server.create("again"))
    with pytest.raises(ServiceError, match="no such revision"):
        _migrate(tmp_path, BROKEN)
    assert _migrate(tmp_path) == ["preparing Airflow's database (once)"]


@pytest.mark.parametrize("name", ["TICKLAKE_AIRFLOW_DATABASE", airflow_database.AIRFLOWS])
def test_a_database_with_tables_of_others_is_left_alone(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    database = f"others_{name.lower()}"
    monkeypatch.setenv(name, server.create(database))
    server.query("create table alembic_version (version_num text)", database)
    with pytest.raises(ServiceError, match=r"holds tables of others \(alembic_version"):
        _migrate(tmp_path)
    assert server.query(
        "select tablename from pg_tables where schemaname = 'public'", database
    ) == [("alembic_version",)]


def test_a_database_of_another_lake_is_refused(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", server.create("two_lakes"))
    _migrate(tmp_path / "one")
    with pytest.raises(ServiceError, match=r"is the Airflow of another lake \(.*/one\)"):
        _migrate(tmp_path / "two")


def test_a_server_that_cannot_be_used_is_named_without_the_password(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        server.url("nowhere"): "createdb nowhere",
        server.url().replace(server.password, "Not-The-Password"): "does not let user 'desk' in",
        f"postgresql://desk:{server.password}@127.0.0.1:1/x": "is the server up",
    }
    for url, said in wrong.items():
        monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", url)
        with pytest.raises(ServiceError, match=said) as raised:
            _migrate(tmp_path)
        assert "TICKLAKE_AIRFLOW_DATABASE" in str(raised.value)
        assert server.password not in str(raised.value)
        assert "Not-The-Password" not in str(raised.value)


def test_airflow_is_told_the_database_for_both_of_its_drivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings({"LAKE_URI": str(tmp_path)})
    monkeypatch.setenv(
        airflow_database.AIRFLOWS, "postgresql://me:p%40ss@db.example:6432/air?sslmode=require"
    )
    told = environment(settings)
    at = "me:p%40ss@db.example:6432/air"
    assert told[airflow_database.AIRFLOWS] == f"postgresql+psycopg2://{at}?sslmode=require"
    asynchronous = told[f"{airflow_database.AIRFLOWS}_ASYNC"]
    assert asynchronous == f"postgresql+asyncpg://{at}?ssl=require"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS" not in told
    assert (told["AIRFLOW__CORE__PARALLELISM"], told["AIRFLOW__API__WORKERS"]) == ("16", "2")


def test_our_own_setting_wins_and_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings({"LAKE_URI": str(tmp_path)})
    monkeypatch.setenv(airflow_database.AIRFLOWS, "postgresql://other:x@other/other")
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", "postgres://me:x@mine/mine")
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PARALLELISM", "6")
    told = environment(settings)
    assert told[airflow_database.AIRFLOWS] == "postgresql+psycopg2://me:x@mine/mine"
    assert told["AIRFLOW__CORE__PARALLELISM"] == "6"
    assert "TICKLAKE_AIRFLOW_DATABASE" not in told
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", "sqlite")
    assert environment(settings)[airflow_database.AIRFLOWS].startswith("sqlite:///")


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/x", "postgresql://me:secret@host", "host/x", "postgresql:/"]
)
def test_a_url_that_is_none_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_DATABASE", url)
    with pytest.raises(ServiceError, match="TICKLAKE_AIRFLOW_DATABASE must be a URL") as raised:
        environment(load_settings({"LAKE_URI": str(tmp_path)}))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["0", "many", "-4", "513"])
def test_a_bad_number_of_tasks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PARALLELISM", text)
    with pytest.raises(ServiceError, match="TICKLAKE_AIRFLOW_PARALLELISM must be a number"):
        environment(load_settings({"LAKE_URI": str(tmp_path)}))
