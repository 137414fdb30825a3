"""The resident process: lands as records come, and may be stopped at any moment."""

import signal
from collections.abc import Callable

from contracts import registry
from ingestion.land import land_topics
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages
from tests.following import following, wait_for

TRADES = TOPICS["trades"]
ALIAS = registry.get("trades").aliases[0]
MakeSettings = Callable[..., Settings]


def test_a_resident_process_lands_within_two_seconds_and_loses_nothing_when_stopped(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.create_topic(TOPICS["quotes"], 2)
    settings = kafka_lake()
    parts = [messages(seed, "trades", 40, 2) for seed in range(3)]
    with following(settings, "trades", "quotes") as process:
        broker.produce(TRADES, parts[0])
        wait_for(40, settings, 30)  # it starts, which takes seconds
        broker.produce(TRADES, parts[1])
        wait_for(80, settings, 2)

        (left_alone,) = land_topics(settings, ("trades",))
        assert left_alone.held_by is not None
        assert str(process.pid) in left_alone.held_by

        broker.produce(TRADES, parts[2])  # perhaps read, not yet committed
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    resident = int(out.splitlines()[-1])
    (remaining,) = land_topics(settings, ("trades",))
    assert resident >= 80
    assert resident + remaining.ok + remaining.rejected == 120
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    assert len({(row["unit"], row["position"]) for row in rows}) == 120


def test_a_resident_process_over_all_datasets_takes_up_topics_that_appear(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    """Of some twenty topics one exists at first; then an alias of it, then another dataset's."""
    broker.create_topic(TRADES, 2)
    settings = kafka_lake()
    with following(settings):
        broker.produce(TRADES, messages(1, "trades", 10, 2))
        wait_for(10, settings, 40)
        broker.create_topic(ALIAS, 1)
        broker.produce(ALIAS, messages(2, "trades", 20, 1))
        wait_for(30, settings, 10)
        broker.create_topic(TOPICS["quotes"], 1)
        broker.produce(TOPICS["quotes"], messages(1, "quotes", 10, 1))
        wait_for(10, settings, 10, "quotes")
        broker.produce(TRADES, messages(3, "trades", 5, 2))
        wait_for(35, settings, 2)
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    assert sorted({(row["source"], row["unit"].split("/")[1]) for row in rows}) == [
        (TRADES, TRADES),
        (ALIAS, ALIAS),
    ]
    assert len({(row["unit"], row["position"]) for row in rows}) == 35
    assert sum(landing.ok + landing.rejected for landing in land_topics(settings)) == 0
