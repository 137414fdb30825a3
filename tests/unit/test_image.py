"""The project's image: the Dockerfile, what its containers start with and are asked."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.specifiers import SpecifierSet

from lake.locks import held
from tests.containers import DOCKERFILE, FINAL, HOME, REPO, copied, image_variables

ENTRYPOINT = REPO / "infra/docker/entrypoint.sh"
HEALTHY = REPO / "infra/docker/healthy.py"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_copied_path_exists_and_is_let_into_the_build() -> None:
    ignore = (REPO / "infra/docker/Dockerfile.dockerignore").read_text(encoding="utf-8")
    allowed = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    sources = copied()
    assert sources
    for source in sources:
        assert (REPO / source).exists(), source
        assert any(source == way or source.startswith(f"{way}/") for way in allowed), source
    for way in allowed:
        assert any(source == way or source.startswith(f"{way}/") for source in sources), way


def test_every_room_is_in_the_image() -> None:
    wanted = [p.rstrip("*") for p in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    rooms = {copy for copy in copied() if (REPO / copy).is_dir()}
    assert rooms == {*wanted, "dbt", "dags"}


def test_every_path_its_variables_name_is_copied_or_made() -> None:
    made = re.findall(r"(?<= )/[\w/]+(?= |$)", FINAL.split("COPY")[0], re.MULTILINE)
    for name, value in image_variables().items():
        if not value.startswith("/") or name == "PATH":
            continue
        if value.startswith(f"{HOME}/"):
            assert (REPO / value.removeprefix(f"{HOME}/")).is_dir(), name
        else:
            assert any(value == way or value.startswith(f"{way}/") for way in made), name


def test_its_python_is_one_the_project_supports_in_both_stages() -> None:
    versions = re.findall(r"^FROM python:([\d.]+)-slim-bookworm", DOCKERFILE, re.MULTILINE)
    assert len(versions) == 2
    assert len(set(versions)) == 1
    assert versions[0] in SpecifierSet(PROJECT["project"]["requires-python"])


def test_it_is_built_in_two_stages_and_does_not_run_as_root() -> None:
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    assert re.findall(r"^USER (.+)$", FINAL, re.MULTILINE) == ["10001:10001"]
    assert "--gid 10001 ticklake" in FINAL
    assert "--uid 10001 --gid ticklake" in FINAL


def test_its_last_stage_has_neither_pip_nor_the_tools_of_developers() -> None:
    assert "pip" not in FINAL
    installed = re.findall(r"pip .*install (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(installed) == 2
    assert "--requirement requirements.txt" not in DOCKERFILE  # the lock only says versions
    assert "PIP_CONSTRAINT=/build/requirements.txt" in DOCKERFILE


def test_what_it_starts_with_is_there_and_executable() -> None:
    places = dict(re.findall(r"^COPY (infra/\S+) /usr/local/bin/(\S+)$", FINAL, re.MULTILINE))
    assert places == {
        "infra/docker/entrypoint.sh": "ticklake-entrypoint",
        "infra/docker/healthy.py": "ticklake-healthy",
    }
    for source in places:
        assert (REPO / source).stat().st_mode & 0o111 == 0o111
    assert json.loads(FINAL.split("\nENTRYPOINT ")[1].splitlines()[0]) == ["ticklake-entrypoint"]
    assert json.loads(FINAL.split("\nCMD ")[1])[0] in PROJECT["project"]["scripts"]


def test_it_has_the_drivers_of_airflows_database() -> None:
    asked = " ".join(PROJECT["project"]["dependencies"])
    assert all(driver in asked for driver in ("asyncpg", "psycopg2-binary"))


@pytest.mark.parametrize("password", ["plain", "with \"quotes\" and \\ and 'others'"])
def test_the_entrypoint_keeps_the_password_for_airflow_alone(tmp_path: Path, password: str) -> None:
    kept = tmp_path / "passwords.json"
    shown = "import os, sys; print(os.environ.get('TICKLAKE_AIRFLOW_PASSWORD'), *sys.argv[1:])"
    done = subprocess.run(
        ["sh", str(ENTRYPOINT), sys.executable, "-c", shown, "two words"],
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TICKLAKE_AIRFLOW_PASSWORD": password,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(kept),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None two words\n"
    assert json.loads(kept.read_text(encoding="utf-8")) == {"desk": password}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@contextmanager
def _airflow(answer: dict[str, dict[str, str | None]]) -> Iterator[str]:
    """An api-server that answers this at its health page; gives what tasks are told of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/v2/monitor/health" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/execution/"
        server.shutdown()


def _asked(*words: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(HEALTHY), *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def test_a_part_of_airflow_is_as_healthy_as_the_api_server_says() -> None:
    told = {"scheduler": {"status": "healthy"}, "triggerer": {"status": "unhealthy"}}
    with _airflow({**told, "dag_processor": {"status": None}}) as url:
        variables = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": url}
        page = url.replace("/execution/", "/api/v2/monitor/health")
        assert _asked("scheduler", **variables) == (0, "")
        wrong = f"{page} says of triggerer: unhealthy"
        assert _asked("triggerer", **variables) == (1, wrong)
        wrong = f"{page} says of dag_processor: nothing"
        assert _asked("dag_processor", **variables) == (1, wrong)
    code, said = _asked("scheduler", **variables)
    assert code == 1
    assert "refused" in said


def test_the_resident_is_healthy_while_it_holds_the_lock_of_a_dataset(tmp_path: Path) -> None:
    variables = {"LAKE_URI": str(tmp_path), "LAKE_LOCAL": ""}
    trades = tmp_path / "run" / "ingest.trades.lock"
    nobody = (1, f"no lock of {tmp_path}/run/ingest.*.lock is held from here")
    assert _asked("ingest", **variables) == nobody
    with held(trades, shared=True):
        assert _asked("ingest", **variables) == (0, "")
    with held(tmp_path / "run" / "build.lock"):
        assert _asked("ingest", **variables) == nobody


def test_a_health_check_of_nothing_says_how_it_is_called() -> None:
    code, said = _asked()
    assert code == 2
    assert "ticklake-healthy metadatabase" in said
