"""The brokers that the command line starts: the embedded one, and Apache Kafka in its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import registry
from ingestion.land import land_topics
from ingestion.produce import produce
from lake.kafka_client import Topics
from lake.settings import Settings, load_settings
from tests.apache_kafka import require_kafka
from tests.embedded_broker import free_port
from ticklake.services import broker, kafka, processes, stack
from ticklake.services.processes import ServiceError

TRADES = registry.get("trades").topic


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A lake and a free port; whatever was started there is stopped."""
    made = load_settings(
        {
            "LAKE_URI": str(tmp_path / "lake"),
            "TICKLAKE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        }
    )
    yield made
    kafka.stop(made)
    broker.stop(made)


def send(settings: Settings, first: int, count: int) -> None:
    text = (
        '{{"tradeId":"{0}","instrumentId":"I","price":1,"quantity":1,'
        '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}}'
    )
    values = [text.format(number).encode() for number in range(first, first + count)]
    produce(settings, TRADES, [b"k"] * count, values, [1_759_406_400_000] * count)


def land(settings: Settings) -> int:
    (landing,) = land_topics(settings, ("trades",))
    return landing.ok


def test_a_log_that_is_made_again_in_a_named_cluster_lands_nothing_twice(
    settings: Settings,
) -> None:
    """The embedded broker forgets; the demo sends the same again, and its topics have new ids."""
    for landed in (20, 0):
        broker.start(settings, cluster="again")
        send(settings, 0, 20)
        assert land(settings) == landed
        processes.stop(settings.local / "run", broker.NAME, grace_s=0)


def test_without_java_the_error_names_the_broker_that_needs_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ServiceError, match=r"needs Java 17 and Maven, and `java` is not.*make broker"
    ):
        kafka.start(settings)


def test_apache_kafka_does_not_start_where_the_embedded_broker_is(settings: Settings) -> None:
    broker.start(settings)
    with pytest.raises(ServiceError, match=f"{settings.kafka_bootstrap} is taken.*broker --stop"):
        kafka.start(settings)


@pytest.mark.slow
def test_what_apache_kafka_holds_is_there_after_a_restart_under_the_same_offsets(
    settings: Settings,
) -> None:
    require_kafka()
    kafka.start(settings)
    send(settings, 0, 20)
    cluster = Topics(settings).known.cluster
    assert land(settings) == 20
    send(settings, 20, 10)
    assert broker.start(settings) is None  # `make up` uses what answers there
    assert {service.name for service in stack.status(settings) if service.running} == {"kafka"}
    assert stack.down(settings)
    assert kafka.stop(settings) is False
    kafka.start(settings)
    assert Topics(settings).known.cluster == cluster
    assert [land(settings), land(settings)] == [10, 0]
