"""A Kafka that somebody runs at the address is used, not fought over."""

from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from lake.settings import Settings
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS
from ticklake.services import broker as embedded


def test_a_broker_that_already_answers_gets_the_topics_and_stays_its_owners(
    broker: Broker, kafka_lake: Callable[..., Settings]
) -> None:
    settings = kafka_lake()
    assert embedded.start(settings) is None
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=5).topics
    assert set(topics) == set(TOPICS.values())
    assert embedded.stop(settings) is False
