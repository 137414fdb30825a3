"""A Kafka that somebody runs at the address is used, not fought over."""

from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from lake.settings import Settings
from tests.embedded_broker import Broker
from ticklake.services import broker as embedded


def test_a_broker_that_already_answers_gets_the_topics_and_stays_its_owners(
    broker: Broker, kafka_lake: Callable[..., Settings]
) -> None:
    settings = kafka_lake()
    assert embedded.start(settings) is None
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=5).topics
    assert set(topics) == {
        "market.quotes.v1",
        "reference.securities.v1",
        "market.trades.v1",
        "market.orders.v1",
        "market.data.v1",
        "risk.positions.v1",
        "market.book.v1",
        "social.posts.v1",
        "market.bars.v1",
        "price_alerts",
    }
    assert embedded.stop(settings) is False
