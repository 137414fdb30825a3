"""A dataset's topic and its aliases: each is a feed of its own, and none has to exist."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from contracts import registry
from ingestion.batch import Batch
from ingestion.land import land_topics
from ingestion.sources.kafka import ClusterChanged, KafkaSource
from ingestion.sources.kafka_origin import TopicRecreated
from lake import kafka_client
from lake.bronze import Commit
from lake.kafka_client import BrokerUnreachable, Topics
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import messages

TRADES = registry.get("trades")
DEFAULT, (FIRST, SECOND) = TRADES.topic, TRADES.aliases
MakeSettings = Callable[..., Settings]


def bronze(settings: Settings) -> list[dict[str, Any]]:
    return bronze_rows.rows(layout(settings).bronze("trades"))


def landed(settings: Settings) -> Counter[tuple[str, str]]:
    """How many rows each (source, unit) has, after a look that no position is there twice."""
    rows = bronze(settings)
    assert len({(row["unit"], row["position"]) for row in rows}) == len(rows)
    return Counter((row["source"], row["unit"]) for row in rows)


def land_trades(settings: Settings) -> int:
    (landing,) = land_topics(settings, ("trades",))
    return landing.ok + landing.rejected


def topics_of(broker: Broker) -> set[str]:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    return set(admin.list_topics(timeout=5).topics)


def next_batch(batches: Iterator[Batch | None], seconds: float = 10.0) -> Batch:
    """The next batch of a source that follows. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (batch := next(batches)) is not None:
            return batch
        time.sleep(0.01)
    raise AssertionError(f"no batch within {seconds} s")


def test_every_topic_of_a_dataset_lands_and_each_row_says_by_which_it_came(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    settings = kafka_lake()
    for topic, partitions, count in [(DEFAULT, 2, 60), (FIRST, 3, 90), (SECOND, 1, 30)]:
        broker.create_topic(topic, partitions)
        sent = messages(1, "trades", count, partitions)
        broker.produce(topic, [Sent(s.value, n % partitions) for n, s in enumerate(sent)])
    assert [land_trades(settings) for _ in range(2)] == [180, 0]
    assert landed(settings) == {
        **{(DEFAULT, broker.unit(DEFAULT, number)): 30 for number in range(2)},
        **{(FIRST, broker.unit(FIRST, number)): 30 for number in range(3)},
        (SECOND, broker.unit(SECOND, 0)): 30,
    }


def test_an_alias_alone_lands_though_the_default_topic_does_not_exist(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(SECOND, 2)
    broker.produce(SECOND, [Sent(b"{}", number % 2) for number in range(10)])
    settings = kafka_lake()
    assert land_trades(settings) == 10
    assert landed(settings) == {(SECOND, broker.unit(SECOND, number)): 5 for number in range(2)}


def test_a_topic_that_appears_between_two_landings_is_landed_from_its_beginning(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    settings = kafka_lake()
    broker.create_topic(DEFAULT)
    broker.produce(DEFAULT, messages(1, "trades", 20, 1))
    assert land_trades(settings) == 20
    broker.create_topic(FIRST)
    broker.produce(FIRST, messages(2, "trades", 15, 1))
    broker.produce(DEFAULT, messages(3, "trades", 5, 1))
    assert [land_trades(settings) for _ in range(2)] == [20, 0]
    assert landed(settings) == {
        (DEFAULT, broker.unit(DEFAULT, 0)): 25,
        (FIRST, broker.unit(FIRST, 0)): 15,
    }


def test_no_batch_has_records_of_two_topics(broker: Broker, kafka_lake: MakeSettings) -> None:
    for topic in (DEFAULT, FIRST):
        broker.create_topic(topic)
        broker.produce(topic, messages(1, "trades", 40, 1))
    commits: list[Commit] = []
    settings = kafka_lake()
    land_topics(settings, ("trades",), progress=commits.append)
    assert [commit.ok + commit.rejected for commit in commits] == [40, 40]
    sources = {(row["batch"], row["source"]) for row in bronze(settings)}
    assert {batch for batch, _ in sources} == {commit.batch for commit in commits}
    assert sorted(source for _, source in sources) == sorted([DEFAULT, FIRST])


def test_landing_all_datasets_creates_no_topic(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(FIRST)
    broker.produce(FIRST, messages(1, "trades", 10, 1))
    landings = land_topics(kafka_lake())
    assert {landing.dataset for landing in landings} == set(registry.all_contracts())
    assert sum(landing.ok + landing.rejected for landing in landings) == 10
    assert topics_of(broker) == {FIRST}


def test_a_dataset_without_topics_waits_for_nothing(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    settings = kafka_lake()
    with closing(KafkaSource(TRADES, settings, follow=True)) as source:
        batches = source.batches(lambda unit: 0)
        assert next(batches) is None  # the broker was asked for its topics
        began = time.monotonic()
        assert all(next(batches) is None for _ in range(1_000))
        assert time.monotonic() - began < 0.5


def test_an_idle_topic_that_is_followed_holds_nobody_up(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(DEFAULT, 4)
    with closing(KafkaSource(TRADES, kafka_lake(), follow=True)) as source:
        batches = source.batches(lambda unit: 0)
        began = time.monotonic()
        assert all(next(batches) is None for _ in range(200))
        assert time.monotonic() - began < 2


def test_a_batch_that_is_not_full_yet_holds_nobody_up(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(DEFAULT)
    broker.produce(DEFAULT, messages(1, "trades", 10, 1))
    settings = kafka_lake(TICKLAKE_BATCH_SECONDS=1)
    with closing(KafkaSource(TRADES, settings, follow=True)) as source:
        batches = source.batches(lambda unit: 0)
        longest, batch, began = 0.0, None, time.monotonic()
        while batch is None and time.monotonic() - began < 10:
            asked = time.monotonic()
            batch = next(batches)
            longest = max(longest, time.monotonic() - asked)
            time.sleep(0.005)
    assert batch is not None
    assert batch.size == 10
    assert longest < 0.5


def test_an_alias_made_anew_stops_the_landing_with_its_name(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    for topic, count in ((DEFAULT, 10), (FIRST, 20)):
        broker.create_topic(topic)
        broker.produce(topic, messages(1, "trades", count, 1))
    settings = kafka_lake()
    assert land_trades(settings) == 30
    broker.kill()
    with Broker(port=broker.port) as another:
        for topic, count in ((DEFAULT, 10), (FIRST, 5)):
            another.create_topic(topic)
            another.produce(topic, messages(1, "trades", count, 1))
        with pytest.raises(TopicRecreated, match=rf"^({DEFAULT}|{FIRST}) was deleted and made"):
            land_trades(settings)


def test_a_broker_that_falls_silent_is_reported_with_every_topic_that_was_open(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(DEFAULT, 2)
    broker.create_topic(SECOND, 1)

    def die(_unit: str) -> int:
        broker.kill()
        return 0

    settings = kafka_lake(TICKLAKE_KAFKA_TIMEOUT=1)
    silent = rf"nothing of {DEFAULT} \[0, 1\], {SECOND} \[0\] for 1 s"
    with (
        closing(KafkaSource(TRADES, settings, follow=False)) as source,
        pytest.raises(BrokerUnreachable, match=silent),
    ):
        list(source.batches(die))


def test_a_followed_topic_goes_on_where_it_was_when_another_is_taken_up(
    broker: Broker, kafka_lake: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_client, "REFRESH_SECONDS", 0.0)
    broker.create_topic(DEFAULT, 1)
    broker.produce(DEFAULT, messages(1, "trades", 10, 1))
    settings = kafka_lake(TICKLAKE_BATCH_SECONDS=0.05)
    topics = Topics(settings)
    with closing(KafkaSource(TRADES, settings, follow=True, topics=topics)) as source:
        batches = source.batches(lambda unit: 0)
        assert _spans(next_batch(batches)) == [(broker.unit(DEFAULT, 0), 0, 10)]
        broker.create_topic(FIRST, 1)
        broker.produce(FIRST, messages(2, "trades", 5, 1))
        topics.refresh()
        assert _spans(next_batch(batches)) == [(broker.unit(FIRST, 0), 0, 5)]
        broker.produce(DEFAULT, messages(3, "trades", 7, 1))
        assert _spans(next_batch(batches)) == [(broker.unit(DEFAULT, 0), 10, 17)]


def test_following_stops_when_another_cluster_answers_at_the_address(
    broker: Broker, kafka_lake: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log may be the longer one: then no position would give it away."""
    monkeypatch.setattr(kafka_client, "REFRESH_SECONDS", 0.0)
    broker.create_topic(DEFAULT)
    settings = kafka_lake()
    topics = Topics(settings)
    with closing(KafkaSource(TRADES, settings, follow=True, topics=topics)) as source:
        batches = source.batches(lambda unit: 0)
        assert next(batches) is None
        broker.kill()
        with (
            Broker(port=broker.port, cluster="another"),
            pytest.raises(ClusterChanged, match="was cluster test and is another now"),
        ):
            for _ in range(500):
                topics.refresh()
                next(batches)
                time.sleep(0.02)


def _spans(batch: Batch) -> list[tuple[str, int, int]]:
    return [(span.unit, span.first, span.next) for span in batch.spans]
