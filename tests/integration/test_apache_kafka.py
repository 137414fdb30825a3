"""Against Apache Kafka itself: killed and started again, and topics that come and grow."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import registry
from ingestion.land import land_topics
from ingestion.produce import Sender
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.apache_kafka import ApacheKafka, require_kafka
from tests.following import following, wait_for
from tests.kafka_log import sent_numbers

pytestmark = pytest.mark.slow

TOPIC = "sent"
KEYS = 50
SENT_MS = 1_759_406_400_000
TRADES = registry.get("trades")


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A fresh one-node cluster; the test is skipped where there is none to be had."""
    require_kafka()
    with ApacheKafka(tmp_path / "kafka") as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, kafka: ApacheKafka) -> Settings:
    return load_settings(
        {"LAKE_URI": str(tmp_path / "lake"), "TICKLAKE_KAFKA_BOOTSTRAP": kafka.bootstrap}
    )


def trades(first: int, count: int) -> list[bytes]:
    text = (
        '{{"tradeId":"{0}","instrumentId":"I{1}","price":1,"quantity":1,'
        '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}}'
    )
    return [text.format(number, number % 9).encode() for number in range(first, first + count)]


def send_trades(settings: Settings, topic: str, first: int, count: int) -> None:
    with Sender(settings) as sender:
        keys = [b"I%d" % (number % 9) for number in range(first, first + count)]
        sender.send(topic, keys, trades(first, count), [SENT_MS] * count)


def landed(settings: Settings) -> Counter[tuple[str, str]]:
    """How many rows of bronze came by which topic, as (source, unit)."""
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    assert len({(row["unit"], row["position"]) for row in rows}) == len(rows)
    return Counter((row["source"], row["unit"].rpartition("/")[0]) for row in rows)


def test_a_broker_killed_and_started_again_has_every_record_once_and_in_order_of_its_key(
    kafka: ApacheKafka, settings: Settings
) -> None:
    """Killed twice with 200,000 records on their way, away for two seconds and its start each."""
    kafka.create_topic(TOPIC, 4)
    count, chunk = 1_000_000, 5_000
    under_way: list[int] = []
    with Sender(settings) as sender:

        def break_down() -> None:
            for confirmed in (100_000, 500_000):
                while sender.confirmed < confirmed:
                    time.sleep(0.001)
                kafka.kill()
                under_way.append(sender.accepted)
                time.sleep(2.0)
                kafka.start()

        breaking = threading.Thread(target=break_down)
        breaking.start()
        for first in range(0, count, chunk):
            numbers = range(first, first + chunk)
            keys = [b"k%d" % (number % KEYS) for number in numbers]
            sender.send(TOPIC, keys, [b"%d %s" % (n, b"x" * 100) for n in numbers], [0] * chunk)
        sender.flush()
        breaking.join()
    assert len(under_way) == 2
    assert all(accepted < count for accepted in under_way)
    assert sender.confirmed == count
    assert sent_numbers(kafka.bootstrap, TOPIC) == {
        b"k%d" % key: list(range(key, count, KEYS)) for key in range(KEYS)
    }


def test_two_aliases_land_from_it_and_nothing_is_created_by_asking(
    kafka: ApacheKafka, settings: Settings
) -> None:
    first, second = TRADES.aliases
    kafka.create_topic(first, 3)
    kafka.create_topic(second, 1)
    send_trades(settings, first, 0, 700)
    send_trades(settings, second, 0, 300)
    before = kafka.topics()
    total = sum(landing.ok for landing in land_topics(settings))
    assert total == 1_000
    assert landed(settings) == {
        (first, kafka.unit(first, 0).rpartition("/")[0]): 700,
        (second, kafka.unit(second, 0).rpartition("/")[0]): 300,
    }
    assert kafka.topics() - {"__consumer_offsets"} == before - {"__consumer_offsets"}
    assert sum(landing.ok for landing in land_topics(settings)) == 0


def test_a_topic_and_partitions_that_appear_later_are_followed(
    kafka: ApacheKafka, settings: Settings
) -> None:
    alias = TRADES.aliases[0]
    kafka.create_topic(TRADES.topic, 1)
    with following(settings):
        send_trades(settings, TRADES.topic, 0, 100)
        wait_for(100, settings, 30)
        kafka.create_topic(alias, 2)
        send_trades(settings, alias, 100, 200)
        wait_for(300, settings, 10)
        kafka.add_partitions(TRADES.topic, 4)
        send_trades(settings, TRADES.topic, 300, 400)
        wait_for(700, settings, 10)
    units = {row["unit"] for row in bronze_rows.rows(layout(settings).bronze("trades"))}
    assert len(units & {kafka.unit(TRADES.topic, number) for number in range(1, 4)}) > 0
    assert sorted(count for _, count in landed(settings).items()) == [200, 500]
    assert sum(landing.ok for landing in land_topics(settings)) == 0
