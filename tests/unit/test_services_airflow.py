"""What Airflow and the broker are told before they start; nothing is started here."""

import json
import socket
from importlib import import_module
from pathlib import Path

import pytest

from lake.settings import Settings, load_settings
from tests.faults.messages import TOPICS
from ticklake.services import broker
from ticklake.services.airflow_env import environment, log_in, port
from ticklake.services.processes import ServiceError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a lake in a temporary folder, with nothing of Airflow in the environment."""
    for name in ("PORT", "PASSWORD", "DATABASE", "PARALLELISM"):
        monkeypatch.delenv(f"TICKLAKE_AIRFLOW_{name}", raising=False)
    monkeypatch.delenv("TICKLAKE_INBOX", raising=False)
    monkeypatch.delenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", raising=False)
    monkeypatch.delenv("TICKLAKE_KAFKA_BOOTSTRAP", raising=False)
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


def test_airflow_listens_on_this_machine_only(settings: Settings) -> None:
    told = environment(settings)
    assert told["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert told["AIRFLOW__API__PORT"] == "8080"


def test_the_execution_interface_follows_the_port(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PORT", "18080")
    told = environment(settings)
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"
    assert log_in(settings).url == "http://127.0.0.1:18080"


def test_folders_are_handed_on_absolute_counted_from_the_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    told = environment(load_settings({"LAKE_URI": "./somewhere"}))
    where = Path(__file__).resolve().parents[2] / "somewhere"
    assert (told["LAKE_URI"], told["LAKE_LOCAL"]) == (str(where), str(where))
    assert told["TICKLAKE_INBOX"] == str(where / "inbox")
    assert told["AIRFLOW_HOME"] == str(where / "airflow")


def test_variables_of_another_airflow_are_not_handed_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "mysql://other")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "99")
    monkeypatch.setenv("AIRFLOW_CONFIG", "other.cfg")
    told = environment(settings)
    assert told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:///")
    assert told["AIRFLOW__CORE__PARALLELISM"] == "4"
    assert "AIRFLOW_CONFIG" not in told


def test_airflow_opens_its_database_as_a_patient_writer(settings: Settings) -> None:
    module, _, name = environment(settings)[
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
    ].rpartition(".")
    assert getattr(import_module(module), name)["timeout"] > 5


def test_the_password_is_not_handed_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PASSWORD", "open sesame")
    assert "open sesame" not in environment(settings).values()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PANDERA_VALIDATION_ENABLED", "False"),
        ("PANDERA_VALIDATION_ENABLED", "0"),
        ("PANDERA_VALIDATION_ENABLED", ""),
        ("PANDERA_VALIDATION_DEPTH", "SCHEMA_ONLY"),
    ],
)
def test_airflow_does_not_start_without_contracts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ServiceError, match="switches the contracts off"):
        environment(settings)


def test_a_password_is_made_once_and_kept_private(settings: Settings) -> None:
    first, second = log_in(settings), log_in(settings)
    kept = settings.local / "airflow" / "passwords.json"
    assert first == second
    assert len(first.password) >= 12
    assert json.loads(kept.read_text(encoding="utf-8")) == {"desk": first.password}
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_password_of_the_environment_wins(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = log_in(settings)
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PASSWORD", "open sesame")
    assert log_in(settings).password == "open sesame" != made.password


def test_a_log_in_does_not_show_its_password(settings: Settings) -> None:
    access = log_in(settings)
    assert access.password not in repr(access)


@pytest.mark.parametrize("text", ["", "http", "0", "70000", "-1"])
def test_a_bad_port_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TICKLAKE_AIRFLOW_PORT", text)
    with pytest.raises(ServiceError, match="TICKLAKE_AIRFLOW_PORT must be a port number"):
        port()


def test_a_broker_elsewhere_is_not_ours_to_start(tmp_path: Path) -> None:
    named = {"LAKE_URI": str(tmp_path), "TICKLAKE_KAFKA_BOOTSTRAP": "kafka.example:9092"}
    assert not broker.is_embedded(load_settings(named))
    assert broker.is_embedded(load_settings({"LAKE_URI": str(tmp_path)}))


def test_the_broker_answers_with_four_partitions_of_each_topic(tmp_path: Path) -> None:
    from confluent_kafka.admin import AdminClient

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    named = {"LAKE_URI": str(tmp_path), "TICKLAKE_KAFKA_BOOTSTRAP": address}
    settings = load_settings(named)
    try:
        broker.start(settings)
        broker.start(settings)
        topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=5).topics
    finally:
        broker.stop(settings)
    assert {name: len(topic.partitions) for name, topic in topics.items()} == dict.fromkeys(
        TOPICS.values(), 4
    )


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        named = {"LAKE_URI": str(tmp_path), "TICKLAKE_KAFKA_BOOTSTRAP": address}
        with pytest.raises(ServiceError, match="is taken by another program"):
            broker.start(load_settings(named))
