"""docker-compose.yml and the image: whatever they name is there. Needs no Docker."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.registry import all_contracts
from lake.settings import Settings
from ticklake.services.airflow import POOLS

REPO = Path(__file__).resolve().parents[2]
TEXT = (REPO / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (REPO / "infra/docker/Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT = REPO / "infra/docker/entrypoint.sh"
README = (REPO / "infra/README.md").read_text(encoding="utf-8")


def _published(service: dict[str, Any]) -> list[tuple[str, int, int]]:
    found = []
    for port in service.get("ports", []):
        host, outside, inside = port.split(":")
        found.append((host, int(outside), int(inside)))
    return found


def _image_variables() -> dict[str, str]:
    last_stage = DOCKERFILE.rsplit("FROM ", 1)[1]
    block = re.search(r"^ENV (.*?)^USER", last_stage, re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(word.split("=", 1) for word in shlex.split(block[1].replace("\\\n", " ")))


def _airflow_settings() -> set[str]:
    package = find_spec("airflow")  # not imported: that would write into the home folder
    assert package is not None
    assert package.submodule_search_locations is not None
    described = Path(package.submodule_search_locations[0]) / "config_templates" / "config.yml"
    sections = yaml.safe_load(described.read_text(encoding="utf-8"))
    return {
        f"AIRFLOW__{section}__{option}".upper()
        for section, facts in sections.items()
        for option in facts["options"]
    }


def test_every_build_context_and_dockerfile_exists() -> None:
    assert OURS
    for service in OURS.values():
        context = REPO / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()


def test_every_copied_path_exists_and_is_let_into_the_build() -> None:
    sources = []
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        sources += words[:-1]
    ignore = (REPO / "infra/docker/Dockerfile.dockerignore").read_text(encoding="utf-8")
    allowed = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    assert sources
    for source in sources:
        assert (REPO / source).exists(), source
        assert any(source == way or source.startswith(f"{way}/") for way in allowed), source


def test_every_mounted_folder_exists_and_every_volume_is_declared() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (REPO / source).is_dir(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
    used = {m.split(":")[0] for s in SERVICES.values() for m in s.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_every_service_waited_for_exists_and_can_become_what_is_waited_for() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVICES, (name, needed)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], (name, needed)
            else:
                assert SERVICES[needed]["restart"] == "no", (name, needed)


def test_what_stays_up_is_checked_for_health() -> None:
    for name, service in SERVICES.items():
        assert (service.get("restart") == "unless-stopped") == ("healthcheck" in service), name


def test_every_command_of_our_image_exists() -> None:
    scripts = {script.name for script in distribution("apache-airflow-core").entry_points}
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = scripts | set(project["scripts"]) | {"python", "sh"}
    for service in OURS.values():
        assert service["command"][0] in known
        assert service.get("healthcheck", {}).get("test", ["CMD", "sh"])[1] in known
    assert json.loads(DOCKERFILE.split("\nCMD ")[1])[0] in known


def test_every_airflow_subcommand_exists_with_its_options(tmp_path: Path) -> None:
    lines = [service["command"] for service in OURS.values()]
    lines += [s["healthcheck"]["test"][1:] for s in OURS.values() if "healthcheck" in s]
    lines += [shlex.split(line) for line in OURS["airflow-init"]["command"][-1].splitlines()]
    calls = [words[1:] for words in lines if words[0] == "airflow"]
    assert len(calls) == 4 + 3 + 2  # services, their health checks, the steps before them
    script = (
        "import json, sys\n"
        "from airflow.cli.cli_parser import get_parser\n"
        "for words in json.loads(sys.argv[1]): get_parser().parse_args(words)"
    )
    parsed = subprocess.run(
        [sys.executable, "-c", script, json.dumps(calls)],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert parsed.returncode == 0, parsed.stderr


def test_the_pools_are_those_the_flows_use() -> None:
    script = OURS["airflow-init"]["command"][-1]
    (path,) = re.findall(r"^airflow pools import /opt/ticklake/(.+)$", script, re.MULTILINE)
    assert json.loads((REPO / path).read_text(encoding="utf-8")) == POOLS
    assert {name: pool["slots"] for name, pool in POOLS.items()} == {"builder": 1, "lander": 1}


def test_the_topics_are_those_of_the_contracts() -> None:
    topics = SERVICES["kafka-topics"]["environment"]["TOPICS"].split()
    assert sorted(topics) == sorted(contract.topic for contract in all_contracts().values())


def test_ports_are_bound_to_this_machine_and_do_not_collide() -> None:
    published = [port for service in SERVICES.values() for port in _published(service)]
    assert {host for host, _, _ in published} == {"127.0.0.1"}
    outside = [port for _, port, _ in published]
    assert len(outside) == len(set(outside))
    assert all(f"| {port} |" in README for port in outside)


def test_the_published_kafka_is_where_a_shell_looks_by_default() -> None:
    kafka = SERVICES["kafka"]
    ((host, outside, inside),) = _published(kafka)
    default = Settings.model_fields["kafka_bootstrap"].default
    assert default == f"{host}:{outside}"
    assert f"OUTSIDE://:{inside}" in kafka["environment"]["KAFKA_LISTENERS"]
    assert f"OUTSIDE://{default}" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_containers_reach_kafka_and_the_api_server_at_ports_they_serve() -> None:
    told = OURS["airflow-scheduler"]["environment"]
    inside = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{told['TICKLAKE_KAFKA_BOOTSTRAP']}" in inside
    ((_, _, port),) = _published(OURS["airflow-api-server"])
    url = told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert url == f"http://airflow-api-server:{port}/execution/"


def test_every_variable_from_outside_is_required_and_explained() -> None:
    named = set(re.findall(r"\$\{(\w+)", TEXT))
    required = set(re.findall(r"\$\{(\w+):\?[^}]+\}", TEXT))
    assert named == required
    assert all(f"\n{name}=" in README for name in named)


def test_no_password_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY$", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


def test_only_the_api_server_is_told_the_password() -> None:
    told = {n for n, s in SERVICES.items() if "TICKLAKE_AIRFLOW_PASSWORD" in s["environment"]}
    assert told == {"airflow-api-server"}


def test_every_setting_named_is_one_of_airflow_or_ours() -> None:
    known = _airflow_settings() | {str(f.alias) for f in Settings.model_fields.values()}
    known |= {"TICKLAKE_AIRFLOW_PASSWORD", "AIRFLOW_HOME", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED"}
    for service in OURS.values():
        assert set(service["environment"]) <= known
    assert set(_image_variables()) <= known


def test_the_image_is_built_in_two_stages_and_does_not_run_as_root() -> None:
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    after_last_stage = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.findall(r"^USER (\w+)$", after_last_stage, re.MULTILINE) == ["ticklake"]


def test_the_lock_holds_the_drivers_of_the_database() -> None:
    lock = (REPO / "requirements.txt").read_text(encoding="utf-8")
    for driver in ("asyncpg", "psycopg2-binary"):
        assert f"\n{driver}==" in lock


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
