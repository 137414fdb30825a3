"""Broker = bronze + lag: the accounts look beyond the lake, at what the broker still has."""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from checks.account import Account
from checks.broker import Landed, broker, line_of
from ingestion.land import land_topics
from lake import ledger
from lake.layout import layout
from lake.settings import Settings
from tests.desk import trade
from tests.embedded_broker import Broker, Sent

TOPIC = "market.trades.v1"
WHERE = (TOPIC, 0)


def send(embedded: Broker, count: int) -> None:
    """So many trades, each a batch of its own."""
    for number in range(count):
        embedded.produce(TOPIC, [Sent(json.dumps(trade(number, "12:00:00")).encode())])


@pytest.fixture
def landed(kafka_lake: Callable[..., Settings], broker: Broker) -> Settings:
    """Seven trades, landed."""
    settings = kafka_lake()
    broker.create_topic(TOPIC)
    send(broker, 7)
    land_topics(settings, ("trades",))
    ledger.append_new(layout(settings))
    return settings


def only(settings: Settings) -> Account:
    (found,) = broker(settings)
    return found


def test_what_has_landed_closes_and_what_waits_is_lag(landed: Settings, broker: Broker) -> None:
    line = only(landed)
    assert (line.scope, line.left, line.right) == (f"trades {TOPIC}/0", 7, 7)
    send(broker, 3)
    line = only(landed)
    assert (line.left, line.right, line.is_open) == (10, 10, False)
    assert line.detail.startswith("lag 3:")


def test_a_broker_that_was_emptied_opens_the_line(landed: Settings, broker: Broker) -> None:
    port = broker.port
    broker.kill()
    with Broker(port) as anew:
        anew.create_topic(TOPIC)
        send(anew, 2)
        line = only(landed)
    assert line.is_open
    assert line.right == 7


def test_a_broker_that_does_not_answer_is_told_and_opens_nothing(
    landed: Settings, broker: Broker
) -> None:
    broker.kill()
    line = only(landed)
    assert (line.scope, line.is_open) == ("not asked", False)
    assert "no Kafka broker answers" in line.detail


def test_a_lake_without_kafka_asks_no_broker(lake: Settings) -> None:
    assert broker(lake) == []


# --- what each state of a topic-partition comes to ----------------------------------------------

at = partial(Landed, "trades", WHERE)


@pytest.mark.parametrize(
    ("landed", "first", "end", "difference", "told"),
    [
        (at(position=7, starts=0), 0, 7, 0, ""),
        (at(position=7, starts=0), 7, 12, 0, "lag 5"),
        (at(position=7, starts=0), 9, 12, 2, f"--accept-loss {TOPIC}/0:7-9"),
        (at(position=0, starts=5), 5, 12, 0, "lag 7"),
        (at(position=0, starts=5), 8, 12, 3, f"--accept-loss {TOPIC}/0:5-8"),
        (at(position=7, starts=0), 0, 4, -3, "bronze is ahead of the broker"),
    ],
    ids=["all landed", "lag", "lost to retention", "begins late", "begins late and lost", "ahead"],
)
def test_a_topic_partition_closes_with_its_lag_and_opens_on_a_loss_or_when_ahead(
    landed: Landed, first: int, end: int, difference: int, told: str
) -> None:
    line = line_of(landed, {WHERE: first}, {WHERE: end}, set())
    assert line.difference == Decimal(difference)
    assert told in line.detail


def test_a_topic_that_is_gone_or_made_anew_opens_its_line() -> None:
    gone = line_of(at(position=7, starts=0), {}, {}, set())
    anew = line_of(at(position=7, starts=0), {WHERE: 0}, {WHERE: 7}, {TOPIC})
    assert (gone.is_open, anew.is_open) == (True, True)
    assert "--accept-recreated" in anew.detail
