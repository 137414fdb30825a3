"""Landing from Kafka: once, in order, to the end, and never in silence when something is off."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts import registry
from ingestion.accept import NotAccepted, accept_recreated
from ingestion.land import land, land_topics
from ingestion.produce import produce
from ingestion.sources.kafka import BrokerUnreachable, KafkaSource, PositionAhead
from ingestion.sources.kafka_origin import TopicRecreated
from lake import origins
from lake.bronze import BronzeWriter, Commit
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import TOPICS, messages

TRADES = TOPICS["trades"]
MakeSettings = Callable[..., Settings]


def bronze(settings: Settings) -> list[dict[str, Any]]:
    return bronze_rows.rows(layout(settings).bronze("trades"))


def land_trades(settings: Settings) -> int:
    """Land the trades topic; returns the number of records landed."""
    (landing,) = land_topics(settings, ("trades",))
    return landing.ok + landing.rejected


def test_landing_again_lands_nothing(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TRADES, 3)
    broker.produce(TRADES, messages(1, "trades", 200, 3))
    settings = kafka_lake()
    assert [land_trades(settings) for _ in range(3)] == [200, 0, 0]
    assert len(bronze(settings)) == 200


def test_what_came_since_is_all_that_a_second_landing_lands(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 3)
    settings = kafka_lake()
    for part in range(3):
        broker.produce(TRADES, messages(part, "trades", 50, 3))
        assert land_trades(settings) == 50
    assert len({(row["unit"], row["position"]) for row in bronze(settings)}) == 150


def test_a_writer_that_was_opened_before_another_landed_begins_behind_it(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 40, 2))
    settings = kafka_lake()
    contract = registry.get("trades")
    opened_before = BronzeWriter(contract, layout(settings))
    assert land_trades(settings) == 40
    broker.produce(TRADES, messages(2, "trades", 20, 2))
    with closing(KafkaSource(contract, settings, follow=False)) as source:
        landing = land(source, opened_before)
    assert landing.ok + landing.rejected == 20


def test_no_batch_is_larger_than_asked_for(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TRADES, 3)
    broker.produce(TRADES, messages(1, "trades", 200, 3))
    commits: list[Commit] = []
    land_topics(kafka_lake(TICKLAKE_BATCH_ROWS=30), ("trades",), progress=commits.append)
    assert [commit.ok + commit.rejected for commit in commits] == [30] * 6 + [20]


def test_a_topic_that_is_not_there_yet_lands_nothing(kafka_lake: MakeSettings) -> None:
    settings = kafka_lake()
    assert land_trades(settings) == 0
    assert bronze(settings) == []


def test_a_missing_broker_is_named_within_the_timeout(tmp_path: Path) -> None:
    with Broker() as gone:
        address = gone.bootstrap
    settings = load_settings(
        {
            "LAKE_URI": str(tmp_path / "lake"),
            "TICKLAKE_KAFKA_BOOTSTRAP": address,
            "TICKLAKE_KAFKA_TIMEOUT": "1",
        }
    )
    began = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=address):
        land_trades(settings)
    assert time.monotonic() - began < 3


def test_a_broker_that_falls_silent_ends_the_landing_with_its_name(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 100, 2))

    def die(_unit: str) -> int:  # after the topic was looked up, before the first record
        broker.kill()
        return 0

    settings = kafka_lake(TICKLAKE_KAFKA_TIMEOUT=1)
    began = time.monotonic()
    with (
        closing(KafkaSource(registry.get("trades"), settings, follow=False)) as source,
        pytest.raises(BrokerUnreachable, match=rf"{broker.bootstrap} fell silent.*\[0, 1\]"),
    ):
        list(source.batches(die))
    assert time.monotonic() - began < 8


def test_a_source_can_be_closed_though_its_broker_died_on_a_commit(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 100, 2))
    source = KafkaSource(registry.get("trades"), kafka_lake(), follow=False)
    batch = next(batch for batch in source.batches(lambda unit: 0) if batch is not None)
    broker.kill()
    source.acknowledge(batch)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("new_records", [0, 5, 30])
def test_a_topic_made_anew_stops_the_landing_however_long_it_is(
    new_records: int, broker: Broker, kafka_lake: MakeSettings
) -> None:
    """The same cluster id and name; 30 records reach beyond the 20 that were landed."""
    broker.create_topic(TRADES)
    broker.produce(TRADES, messages(1, "trades", 20, 1))
    settings = kafka_lake()
    assert land_trades(settings) == 20
    broker.kill()
    with Broker(port=broker.port) as another:
        another.create_topic(TRADES)
        another.produce(TRADES, messages(2, "trades", new_records, 1))
        with pytest.raises(TopicRecreated, match=rf"^{TRADES} was deleted and made anew"):
            land_trades(settings)
    assert len(bronze(settings)) == 20


def test_a_topic_made_anew_and_accepted_lands_from_its_beginning_in_units_of_its_own(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 20, 2))
    settings = kafka_lake()
    land_trades(settings)
    first = bronze(settings)
    broker.kill()
    with Broker(port=broker.port) as another:
        another.create_topic(TRADES)
        another.produce(TRADES, messages(2, "trades", 30, 1))
        accept_recreated(settings, TRADES)
        assert [land_trades(settings) for _ in range(2)] == [30, 0]
        with pytest.raises(NotAccepted, match="is the topic that is landed already"):
            accept_recreated(settings, TRADES)
    new = [(row["unit"], row["position"]) for row in bronze(settings)]
    kept = [(row["unit"], row["position"]) for row in first]
    added = [(f"kafka:test/{TRADES}~2/0", position) for position in range(30)]
    assert sorted(new) == sorted(kept + added)


@pytest.mark.parametrize("new_records", [0, 5])
def test_a_table_ahead_of_its_topic_stops_a_landing_that_never_learnt_the_topics_id(
    new_records: int, broker: Broker, kafka_lake: MakeSettings
) -> None:
    """As in a lake from before ids were written down."""
    broker.create_topic(TRADES)
    broker.produce(TRADES, messages(1, "trades", 20, 1))
    settings = kafka_lake()
    assert land_trades(settings) == 20
    broker.kill()
    origins.forget(layout(settings), "test")
    with Broker(port=broker.port) as another:
        another.create_topic(TRADES)
        another.produce(TRADES, messages(2, "trades", new_records, 1))
        with pytest.raises(PositionAhead, match=rf"{TRADES}/0: .*stands at 20"):
            land_trades(settings)
    assert len(bronze(settings)) == 20


def test_another_cluster_at_the_same_address_has_positions_of_its_own(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES)
    broker.produce(TRADES, messages(1, "trades", 20, 1))
    settings = kafka_lake()
    assert land_trades(settings) == 20
    broker.kill()
    with Broker(port=broker.port, cluster="another") as another:
        another.create_topic(TRADES)
        another.produce(TRADES, messages(2, "trades", 30, 1))
        assert [land_trades(settings) for _ in range(2)] == [30, 0]
        units = {broker.unit(TRADES, 0): 20, another.unit(TRADES, 0): 30}
    assert bronze_rows.differences("trades", bronze(settings), []) != []  # both are there
    landed = [row["unit"] for row in bronze(settings)]
    assert {unit: landed.count(unit) for unit in landed} == units


def test_the_batch_id_header_becomes_the_delivery_unit(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES)
    sound = messages(1, "trades", 1, 1)[0]
    names = ["morning", None, "evening", "morning"]
    broker.produce(TRADES, [Sent(sound.value, 0, sound.sent_ms, b"", name) for name in names])
    settings = kafka_lake()
    land_trades(settings)
    rows = sorted(bronze(settings), key=lambda row: row["position"])
    assert [row["delivery_unit"] for row in rows] == names


def test_records_of_one_key_keep_their_order(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TRADES, 4)
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=70)
    keys = [f"I{number % 7}".encode() for number in range(500)]
    text = (
        '{{"tradeId":"{0}","instrumentId":"{1}","price":1,"quantity":1,'
        '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}}'
    )
    values = [text.format(place, key.decode()).encode() for place, key in enumerate(keys)]
    produce(settings, TRADES, keys, values, [1_759_406_400_000] * 500)
    assert land_trades(settings) == 500
    by_key: dict[str, list[tuple[str, int, int]]] = {}
    for row in bronze(settings):
        place = (row["unit"], row["position"], int(row["trade_id"]))
        by_key.setdefault(row["instrument_id"], []).append(place)
    for places in by_key.values():
        assert len({unit for unit, _, _ in places}) == 1
        sent = [number for _, _, number in sorted(places)]
        assert sent == sorted(sent)
    assert len(by_key) == 7


def test_the_group_is_told_how_far_the_table_is(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 60, 2))
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=25)
    land_trades(settings)
    group = {"bootstrap.servers": broker.bootstrap, "group.id": "ticklake.trades", "log_level": 0}
    consumer = Consumer(group)
    asked = [TopicPartition(TRADES, number) for number in range(2)]
    told = {part.partition: part.offset for part in consumer.committed(asked, timeout=10)}
    consumer.close()
    landed = [row["unit"] for row in bronze(settings)]
    assert told == {number: landed.count(broker.unit(TRADES, number)) for number in range(2)}


def test_a_steady_producer_does_not_keep_a_landing_that_catches_up(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    backlog = messages(1, "trades", 300, 2)
    broker.produce(TRADES, backlog)
    enough = threading.Event()

    def keep_on() -> None:
        for message in messages(2, "trades", 3_000, 2):
            if enough.wait(0.005):
                return
            broker.produce(TRADES, [message])

    producer = threading.Thread(target=keep_on)
    producer.start()
    try:
        began = time.monotonic()
        landed = land_trades(kafka_lake())
        assert time.monotonic() - began < 5
        assert landed >= len(backlog)
    finally:
        enough.set()
        producer.join()
