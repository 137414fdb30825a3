"""Dead letters: what is in the topic, and that landing does not depend on it."""

import time
from collections.abc import Callable

import pytest

from ingestion.dead_letters import send_new, sending
from ingestion.land import land_topics
from lake.settings import Settings, SettingsError, load_settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.kafka_log import messages_of

TOPIC, ALIAS = "market.trades.v1", "trax-trades"
Lake = Callable[..., Settings]


def poison(broker: Broker, topic: str, *values: bytes) -> None:
    broker.produce(topic, [Sent(value) for value in values])


def test_a_letter_holds_the_record_and_says_where_it_came_from_and_why_it_was_rejected(
    broker: Broker, kafka_lake: Lake
) -> None:
    settings = kafka_lake(TICKLAKE_DEAD_LETTERS="on")
    broker.create_topic(ALIAS)
    poison(broker, ALIAS, b"no json", b"")
    land_topics(settings, ["trades"])
    assert send_new(settings, ["trades"]) == []  # landing has sent them
    first, second = messages_of(broker.bootstrap, f"{TOPIC}.dlq")
    rows = {row["position"]: row for row in
            bronze_rows.rows(settings.root / "bronze" / "trades")}  # fmt: skip
    assert (first.value(), second.value() or b"") == (b"no json", b"")
    assert {name: value.decode() for name, value in first.headers()} == {
        "unit": broker.unit(ALIAS, 0),
        "position": "0",
        "code": "PARSE_ERROR",
        "message": rows[0]["reject_message"],
        "contract_version": str(rows[0]["contract_version"]),
        "batch": rows[0]["batch"],
    }


def test_letters_go_where_the_setting_says_and_nowhere_unless_it_is_on(
    broker: Broker, kafka_lake: Lake
) -> None:
    broker.create_topic(TOPIC)
    poison(broker, TOPIC, b"x")
    land_topics(kafka_lake(), ["trades"])
    assert send_new(kafka_lake()) == []
    named = kafka_lake(
        TICKLAKE_DEAD_LETTERS="on", TICKLAKE_DEAD_LETTER_TOPICS="trades=dead-letter-trade-events"
    )
    assert [d.topic for d in send_new(named)] == ["dead-letter-trade-events"]
    (letter,) = messages_of(broker.bootstrap, "dead-letter-trade-events")
    assert letter.value() == b"x"


def test_a_broker_that_is_away_is_a_warning_and_letters_wait(
    broker: Broker, kafka_lake: Lake
) -> None:
    settings = kafka_lake(TICKLAKE_DEAD_LETTERS="on")
    broker.create_topic(TOPIC)
    poison(broker, TOPIC, b"x", b"y")
    land_topics(kafka_lake(), ["trades"])
    broker.kill()
    (delivery,) = send_new(kafka_lake(TICKLAKE_DEAD_LETTERS="on", TICKLAKE_KAFKA_TIMEOUT="0.5"))
    assert (delivery.topic, delivery.sent) == (f"{TOPIC}.dlq", 0)
    assert broker.bootstrap in delivery.trouble
    with Broker(broker.port) as back:
        assert [d.sent for d in send_new(settings)] == [2]
        assert [m.value() for m in messages_of(back.bootstrap, f"{TOPIC}.dlq")] == [b"x", b"y"]


def test_letters_are_sent_aside_while_something_else_runs(
    broker: Broker, kafka_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.dead_letters.SECONDS", 0.1)
    settings = kafka_lake(TICKLAKE_DEAD_LETTERS="on")
    broker.create_topic(TOPIC)
    broker.create_topic(f"{TOPIC}.dlq")
    with sending(settings, ["trades"]):
        poison(broker, TOPIC, b"x")
        land_topics(settings, ["trades"])
        deadline = time.monotonic() + 20
        while not (found := messages_of(broker.bootstrap, f"{TOPIC}.dlq")):
            assert time.monotonic() < deadline
    assert [letter.value() for letter in found] == [b"x"]


def test_a_wrong_list_of_topics_is_refused_before_data_is_touched() -> None:
    with pytest.raises(SettingsError, match="TICKLAKE_DEAD_LETTER_TOPICS"):
        load_settings({"TICKLAKE_DEAD_LETTER_TOPICS": "trades:letters"})
