"""docker-compose.yml: whatever it names is there, and nobody has to trust a default password."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from contracts.registry import all_contracts
from lake.settings import Settings, load_settings
from tests.containers import (
    AIRFLOW,
    COMPOSE,
    HOME,
    OURS,
    README,
    REPO,
    SERVICES,
    TEXT,
    airflow_settings,
    handed_on,
    image_variables,
    plain,
    published,
    told,
)
from tests.embedded_broker import Broker
from ticklake.cli import app
from ticklake.services.airflow import POOLS
from ticklake.services.airflow_env import environment
from ticklake.services.kafka import VERSION

SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$|CONN$")

ELSEWHERE = {
    "AIRFLOW_HOME": "a folder of the image",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "in memory",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "PostgreSQL",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "another container",
}
"""What `ticklake up` sets to another value on purpose, and why."""
LEFT_OUT = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "is SQLite's",
    "AIRFLOW__API__HOST": "all of the container; 127.0.0.1 is what is published",
    "AIRFLOW__API__PORT": "Airflow's own default",
}


def _mounts(service: str) -> list[tuple[str, str]]:
    return [(m.split(":")[0], m.split(":")[1]) for m in SERVICES[service].get("volumes", [])]


def test_every_build_context_and_dockerfile_exists() -> None:
    assert OURS
    for service in OURS.values():
        context = REPO / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()


def test_every_mounted_folder_exists_and_every_volume_is_declared() -> None:
    used = set()
    for name in SERVICES:
        for source, target in _mounts(name):
            if source.startswith("./"):
                assert (REPO / source).is_dir(), (name, source)
                assert target == f"{HOME}/{source.removeprefix('./')}", (name, source)
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_what_lands_and_what_builds_share_one_lake() -> None:
    for name in [*AIRFLOW, "ingest"]:
        assert ("lake", image_variables()["LAKE_URI"]) in _mounts(name), name


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


def test_every_health_check_calls_what_its_image_has() -> None:
    called = {n: s["healthcheck"]["test"] for n, s in SERVICES.items() if "healthcheck" in s}
    assert {words[0] for words in called.values()} == {"CMD"}
    theirs = {name: words[1] for name, words in called.items() if name not in OURS}
    assert theirs == {
        "kafka": "/opt/kafka/bin/kafka-broker-api-versions.sh",
        "kafka-ui": "wget",
        "postgres": "pg_isready",
    }
    assert {name: words[1:] for name, words in called.items() if name in OURS} == {
        "airflow-api-server": ["ticklake-healthy", "metadatabase"],
        "airflow-scheduler": ["ticklake-healthy", "scheduler"],
        "airflow-dag-processor": ["ticklake-healthy", "dag_processor"],
        "airflow-triggerer": ["ticklake-healthy", "triggerer"],
        "ingest": ["ticklake-healthy", "ingest"],
    }


def test_every_airflow_subcommand_exists_with_its_options(tmp_path: Path) -> None:
    lines = [service["command"] for service in AIRFLOW.values()]
    lines += [shlex.split(line) for line in AIRFLOW["airflow-init"]["command"][-1].splitlines()]
    calls = [words[1:] for words in lines if words[0] == "airflow"]
    assert len(calls) == 4 + 2  # the services, and the steps before them
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


def test_every_command_of_ours_exists_with_its_options() -> None:
    import typer

    calls = [s["command"][1:] for s in OURS.values() if s["command"][0] == "ticklake"]
    assert calls == [["ingest", "--follow"]]
    group = typer.main.get_command(app)
    for words in calls:
        name, command, rest = group.resolve_command(group.make_context("t", words), words)  # type: ignore[attr-defined]
        assert command.make_context(name, list(rest)).params["follow"] is True


def test_the_topics_made_are_those_of_the_contracts() -> None:
    python, *words = OURS["kafka-topics"]["command"]
    assert python == "python"
    with Broker() as broker:
        made = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap},
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
        )
    contracts = sorted(contract.topic for contract in all_contracts().values())
    assert sorted(made.stdout.split()) == contracts


def test_the_pools_are_those_the_flows_use() -> None:
    script = OURS["airflow-init"]["command"][-1]
    (path,) = re.findall(r"^airflow pools import /opt/ticklake/(.+)$", script, re.MULTILINE)
    assert json.loads((REPO / path).read_text(encoding="utf-8")) == POOLS
    assert {name: pool["slots"] for name, pool in POOLS.items()} == {"builder": 1, "lander": 1}


def test_ports_are_bound_to_this_machine_and_do_not_collide() -> None:
    ports = published()
    assert {host for host, _, _ in ports.values()} == {"127.0.0.1"}
    outside = [port for _, port, _ in ports.values()]
    assert len(outside) == len(set(outside)) == 3
    for service, (_, port, _) in ports.items():
        assert re.search(rf"^\| .*`{service}`.*\| {port} ", README, re.MULTILINE), service


def test_the_published_kafka_is_where_a_shell_looks_by_default() -> None:
    host, outside, inside = published()["kafka"]
    kafka = SERVICES["kafka"]["environment"]
    default = Settings.model_fields["kafka_bootstrap"].default
    assert default == f"{host}:{outside}"
    assert f"OUTSIDE://:{inside}" in kafka["KAFKA_LISTENERS"]
    assert f"OUTSIDE://{default}" in plain(kafka["KAFKA_ADVERTISED_LISTENERS"])


def test_kafka_is_the_version_that_the_tests_run() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"


def test_containers_reach_kafka_and_the_api_server_at_ports_they_serve() -> None:
    inside = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for name in [*AIRFLOW, "ingest", "kafka-topics"]:
        assert f"INSIDE://{told(name)['TICKLAKE_KAFKA_BOOTSTRAP']}," in inside
    ui = SERVICES["kafka-ui"]["environment"]
    assert f"INSIDE://{ui['KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS']}," in inside
    _, outside, port = published()["airflow-api-server"]
    for name in AIRFLOW:
        url = f"http://airflow-api-server:{port}/execution/"
        assert told(name)["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == url
        assert told(name)["AIRFLOW__API__BASE_URL"] == f"http://127.0.0.1:{outside}"


def test_the_kafka_ui_may_only_look() -> None:
    assert SERVICES["kafka-ui"]["environment"]["KAFKA_CLUSTERS_0_READONLY"] == "true"


@pytest.mark.parametrize("service", AIRFLOW)
def test_airflow_is_told_what_up_tells_it(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "TICKLAKE_AIRFLOW")):
            monkeypatch.delenv(name)
    up = environment(load_settings({"LAKE_URI": str(tmp_path)}))
    wanted = {n: v.replace(str(REPO), HOME) for n, v in up.items() if n.startswith("AIRFLOW")}
    here = told(service)
    assert LEFT_OUT.keys() <= wanted.keys()
    assert not LEFT_OUT.keys() & here.keys()
    assert ELSEWHERE.keys() <= wanted.keys() & here.keys()
    same = wanted.keys() - ELSEWHERE.keys() - LEFT_OUT.keys()
    assert {name: here.get(name) for name in same} == {name: wanted[name] for name in same}


def test_every_setting_named_is_one_of_airflow_or_ours() -> None:
    ours = {str(f.alias) for f in Settings.model_fields.values()}
    ours |= {"TICKLAKE_AIRFLOW_PASSWORD", "TICKLAKE_REVISION"}
    dbt = {"DBT_PROJECT_DIR", "DBT_PROFILES_DIR", "DBT_TARGET_PATH", "DBT_LOG_PATH"}
    system = {"AIRFLOW_HOME", "PATH", "PYTHONUNBUFFERED"}
    for name in OURS:
        known = airflow_settings() | ours | dbt | system
        assert told(name).keys() | handed_on(name) <= known


def test_the_settings_are_such_as_start() -> None:
    for name in OURS:
        load_settings({n: v for n, v in told(name).items() if not n.startswith("AIRFLOW")})


def test_every_secret_is_required_and_nothing_else_is() -> None:
    required = set(re.findall(r"\$\{(\w+):\?[^}]+\}", TEXT))
    optional = set(re.findall(r"\$\{(\w+):-[^}]+\}", TEXT))
    assert {name for name in required | optional if SECRET.search(name)} == required
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == required | optional


def test_no_password_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                given = re.sub(r"\$\{(\w+):\?[^}]+\}", r"<\1>", value)
                assert re.fullmatch(r"<\w+>|postgresql[^:]*://\w+:<\w+>@\w+/\w+", given), name


def test_only_the_api_server_is_told_the_log_in_and_keeps_it_in_memory() -> None:
    asked = {n for n, s in SERVICES.items() if "TICKLAKE_AIRFLOW_PASSWORD" in str(s)}
    assert asked == {"airflow-api-server"}
    (memory,) = SERVICES["airflow-api-server"]["tmpfs"]
    kept = Path(image_variables()["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert memory == f"{kept.parent}:uid=10001,gid=10001,mode=0700"


def test_the_resident_is_told_no_secret() -> None:
    assert not [name for name in OURS["ingest"]["environment"] if SECRET.search(name)]
    assert [name for name in image_variables() if SECRET.search(name)] == [
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"  # where, not what
    ]


def test_our_containers_can_gain_no_rights() -> None:
    for name in [*OURS, "kafka-ui"]:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in SERVICES[name]
        assert not SERVICES[name].get("privileged")


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    text = (REPO / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert given == dict.fromkeys(re.findall(r"\$\{(\w+):\?", TEXT), "")
    optional = dict(re.findall(r"^#(\w+)=(.*)$", text, re.MULTILINE))
    unset = dict.fromkeys(set[str]().union(*map(handed_on, SERVICES)), "")
    assert optional == dict(re.findall(r"\$\{(\w+):-([^}]+)\}", TEXT)) | unset


@pytest.mark.parametrize("service", AIRFLOW)
def test_whoever_runs_flows_is_told_whom_to_tell_and_where_to_publish_if_anybody_is(
    service: str,
) -> None:
    assert handed_on(service) == {"TICKLAKE_ALERT_WEBHOOK", "TICKLAKE_POSTGRES"}


def test_the_readme_s_lines_make_secrets_that_fit(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    block = re.search(r"```\n(umask 077\n.*?)```", README, re.DOTALL)
    assert block is not None
    subprocess.run(["bash", "-euc", block[1]], cwd=tmp_path, check=True)
    made = (tmp_path / ".env").read_text(encoding="utf-8")
    secrets = dict(line.split("=", 1) for line in made.splitlines())
    assert secrets.keys() == set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert re.fullmatch(r"[0-9a-f]{32}", secrets["TICKLAKE_POSTGRES_PASSWORD"])
    Fernet(secrets["TICKLAKE_FERNET_KEY"])
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    ignored = (REPO / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in ignored
