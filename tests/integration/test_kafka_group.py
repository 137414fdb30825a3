"""Residents of one group over one topic, also where somebody else lands in their place."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from contracts import registry
from ingestion.land import land, land_topics
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.locks import held
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages
from tests.following import following, wait_for, wait_for_line

TRADES = TOPICS["trades"]
CONTRACT = registry.get("trades")
MakeSettings = Callable[..., Settings]


def landed(settings: Settings) -> list[tuple[str, int]]:
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    return sorted((row["unit"], row["position"]) for row in rows)


def everything(broker: Broker, *parts: int) -> list[tuple[str, int]]:
    """Where the messages of several rounds lie: each round is seeded by its place, from 0."""
    sent = [
        m.partition for seed, count in enumerate(parts) for m in messages(seed, "trades", count, 2)
    ]
    return sorted(
        (broker.unit(TRADES, number), position)
        for number in range(2)
        for position in range(sent.count(number))
    )


def test_a_resident_whose_records_another_landed_is_refused_and_goes_on_behind_them(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    """As on two machines, where no lock is seen. The resident waits longer for a batch to fill."""
    broker.create_topic(TRADES, 2)
    settings = kafka_lake()
    with following(settings, "trades") as resident:
        broker.produce(TRADES, messages(0, "trades", 40, 2))
        wait_for(40, settings, 30)
        broker.produce(TRADES, messages(1, "trades", 60, 2))
        with closing(KafkaSource(CONTRACT, settings, follow=False)) as source:
            assert land(source, BronzeWriter(CONTRACT, layout(settings))).batches > 0
        said = wait_for_line(resident, "starting over from where the table stands", 20)
        assert "another writer" in said
        assert "times=1" in said
        broker.produce(TRADES, messages(2, "trades", 50, 2))
        wait_for(150, settings, 20)
        resident.send_signal(signal.SIGINT)
        out, _ = resident.communicate(timeout=20)
    assert resident.returncode == 0
    assert int(out.splitlines()[-1]) == 90
    assert landed(settings) == everything(broker, 40, 60, 50)


@pytest.mark.slow
def test_two_residents_share_a_machine_and_keep_a_landing_that_only_catches_up_away(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    settings = kafka_lake()
    with following(settings, "trades") as one, following(settings, "trades") as other:
        for resident in (one, other):
            wait_for_line(resident, "partitions assigned", 40)
        (left_alone,) = land_topics(settings, ("trades",))
        low, high = sorted((one.pid, other.pid))
        assert left_alone.held_by == f"ingest.trades is held by processes {low}, {high}"
        broker.produce(TRADES, messages(0, "trades", 200, 2))
        wait_for(200, settings, 20)
        one.send_signal(signal.SIGINT)
        first, _ = one.communicate(timeout=20)
        broker.produce(TRADES, messages(1, "trades", 100, 2))
        wait_for(300, settings, 20)
        other.send_signal(signal.SIGINT)
        second, _ = other.communicate(timeout=20)
    assert "starting over" not in first + second  # handed over, not fought over
    counts = [int(said.splitlines()[-1]) for said in (first, second)]
    assert sum(counts) == 300
    assert min(counts) > 0
    assert landed(settings) == everything(broker, 200, 100)


def test_a_resident_waits_for_a_landing_that_only_catches_up(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(0, "trades", 40, 2))
    settings = kafka_lake()
    done = threading.Event()

    def hold() -> None:
        with held(layout(settings).lock("ingest.trades")):
            done.wait()

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        with following(settings, "trades") as resident:
            wait_for_line(resident, "waiting", 30)
            time.sleep(0.5)
            assert landed(settings) == []
            done.set()
            wait_for(40, settings, 20)
            assert resident.poll() is None
    finally:
        done.set()
        holding.join()
    assert landed(settings) == everything(broker, 40)
