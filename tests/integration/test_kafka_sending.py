"""Sending to Kafka: once, in order, within bounded memory, and never in silence."""

import os
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from ingestion import produce as produce_module
from ingestion.produce import ProduceFailed, Sender, produce
from lake.kafka_client import BrokerUnreachable
from lake.settings import Settings, load_settings
from tests.embedded_broker import Broker
from tests.kafka_log import messages_of, sent_numbers

TOPIC = "sent"
KEYS = 7
SENT_MS = 1_759_406_400_000
MakeSettings = Callable[..., Settings]


def send_numbers(sender: Sender, first: int, count: int, filling: bytes = b"") -> None:
    """Send `<number> <filling>` for count numbers from first on, keyed by number modulo KEYS."""
    numbers = range(first, first + count)
    keys = [b"k%d" % (number % KEYS) for number in numbers]
    sender.send(TOPIC, keys, [b"%d %s" % (n, filling) for n in numbers], [SENT_MS] * count)


def all_once_in_order(count: int) -> dict[bytes, list[int]]:
    """What `sent_numbers` finds when numbers up to count were sent once and kept their order."""
    return {b"k%d" % key: list(range(key, count, KEYS)) for key in range(KEYS)}


def test_many_chunks_through_one_sender_arrive_once_and_in_order_of_their_key(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC, 4)
    with Sender(kafka_lake()) as sender:
        for first in range(0, 30_000, 2_500):
            send_numbers(sender, first, 2_500)
    assert (sender.accepted, sender.confirmed) == (30_000, 30_000)
    assert sent_numbers(broker.bootstrap, TOPIC) == all_once_in_order(30_000)


def test_key_value_time_and_headers_arrive_as_they_were_given(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    with Sender(kafka_lake()) as sender:
        sender.send(TOPIC, [b"a", None], [b"1", b""], [SENT_MS, SENT_MS + 1])
        sender.send(TOPIC, [b"b"], [b"3"], [SENT_MS + 2], [("batch_id", b"morning")])
    found = [
        (message.key(), message.value(), message.timestamp()[1], message.headers())
        for message in messages_of(broker.bootstrap, TOPIC)
    ]
    assert found == [
        (b"a", b"1", SENT_MS, None),
        (None, b"", SENT_MS + 1, None),
        (b"b", b"3", SENT_MS + 2, [("batch_id", b"morning")]),
    ]


def test_produce_returns_how_many_the_broker_has(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TOPIC, 2)
    told: list[int] = []
    count = produce(
        kafka_lake(),
        TOPIC,
        [b"k"] * 25_000,
        [b"%d" % number for number in range(25_000)],
        [SENT_MS] * 25_000,
        told.append,
    )
    assert count == 25_000 == len(messages_of(broker.bootstrap, TOPIC))
    assert len(told) == 3
    assert told == sorted(told)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd", "snappy"])
def test_every_compression_that_may_be_set_is_one_the_consumer_reads(
    compression: str, broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    with Sender(kafka_lake(TICKLAKE_KAFKA_COMPRESSION=compression)) as sender:
        send_numbers(sender, 0, 500)
    assert sent_numbers(broker.bootstrap, TOPIC) == all_once_in_order(500)


def test_columns_of_different_length_are_refused_before_anything_is_sent(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    with (
        pytest.raises(ValueError, match="sent: 1 keys, 2 values and 2 times"),
        Sender(kafka_lake()) as sender,
    ):
        sender.send(TOPIC, [b"a"], [b"1", b"2"], [SENT_MS, SENT_MS])
    assert sender.accepted == 0


def test_a_sender_without_a_broker_says_so_within_the_timeout() -> None:
    with Broker() as gone:
        address = gone.bootstrap
    settings = load_settings({"TICKLAKE_KAFKA_BOOTSTRAP": address, "TICKLAKE_KAFKA_TIMEOUT": "1"})
    began = time.monotonic()
    with (
        pytest.raises(BrokerUnreachable, match=f"no Kafka broker answers at {address} within 1 s"),
        Sender(settings),
    ):
        raise AssertionError("the block was entered")
    assert time.monotonic() - began < 4


def test_a_broker_that_starts_a_moment_later_is_waited_for() -> None:
    with Broker() as before:
        port = before.port
    late = Broker(port=port)
    starting = threading.Timer(1.0, late.__enter__)
    starting.start()
    try:
        settings = load_settings({"TICKLAKE_KAFKA_BOOTSTRAP": late.bootstrap})
        began = time.monotonic()
        with Sender(settings):
            assert 0.9 < time.monotonic() - began < 8
    finally:
        starting.join()
        late.kill()


def test_a_slow_broker_is_waited_for_within_bounded_memory(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    """200 MB are offered while the broker stands still for three seconds."""
    broker.create_topic(TOPIC, 2)
    count, chunk, filling = 200_000, 10_000, bytes(1_000)
    process = psutil.Process()
    with Sender(kafka_lake(TICKLAKE_KAFKA_COMPRESSION="none")) as sender:
        before, most, queued = process.memory_info().rss, 0, 0
        done = threading.Event()

        def look() -> None:
            nonlocal most, queued
            while not done.wait(0.05):
                most = max(most, process.memory_info().rss)
                queued = max(queued, sender.accepted - sender.confirmed)

        looking = threading.Thread(target=look)
        broker.signal(signal.SIGSTOP)
        resume = threading.Timer(3.0, broker.signal, [signal.SIGCONT])
        resume.start()
        looking.start()
        began = time.monotonic()
        for first in range(0, count, chunk):
            send_numbers(sender, first, chunk, filling)
        assert time.monotonic() - began > 2.5
        sender.flush()
        done.set()
        looking.join()
    assert sender.confirmed == count
    assert 10_000 < queued <= produce_module.QUEUE_RECORDS
    assert most - before < 150e6
    assert sent_numbers(broker.bootstrap, TOPIC) == all_once_in_order(count)


def test_a_full_queue_is_waited_for(
    broker: Broker, kafka_lake: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce_module, "QUEUE_RECORDS", 100)
    broker.create_topic(TOPIC, 4)
    with Sender(kafka_lake()) as sender:
        send_numbers(sender, 0, 5_000)
        assert sender.accepted - sender.confirmed <= 100
    assert sent_numbers(broker.bootstrap, TOPIC) == all_once_in_order(5_000)


def test_a_broker_that_stays_away_fails_the_sending_with_topic_reason_and_count(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    began = 0.0
    with (
        pytest.raises(ProduceFailed) as failed,
        Sender(kafka_lake(TICKLAKE_KAFKA_DELIVERY_TIMEOUT=2)) as sender,
    ):
        send_numbers(sender, 0, 1_000)
        sender.flush()
        broker.kill()
        began = time.monotonic()
        send_numbers(sender, 1_000, 300)
    assert 1.5 < time.monotonic() - began < 6
    said = str(failed.value)
    assert said.startswith(f"{TOPIC}/0: Local: Message timed out after 2 s; last heard: ")
    assert "Connection refused" in said
    assert "1000 records were confirmed, 300 were not and may or may not have arrived" in said
    assert broker.bootstrap in said
    assert (sender.accepted, sender.confirmed) == (1_300, 1_000)


def test_an_endless_feed_stops_when_the_broker_stays_away(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    with (
        pytest.raises(ProduceFailed, match="timed out after 1 s"),
        Sender(kafka_lake(TICKLAKE_KAFKA_DELIVERY_TIMEOUT=1)) as sender,
    ):
        for first in range(0, 10_000_000, 10):
            send_numbers(sender, first, 10)
            if first == 100:
                sender.flush()
                broker.kill()
            time.sleep(0.001)
    assert 110 <= sender.confirmed < sender.accepted


def test_a_record_that_is_too_large_is_named_and_those_before_it_arrive(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC)
    values = [b"1", bytes(2_000_000), b"3"]
    with (
        pytest.raises(ProduceFailed, match=r"sent: .* key b'large' and 2000000 bytes .*too large"),
        Sender(kafka_lake()) as sender,
    ):
        sender.send(TOPIC, [b"a", b"large", b"c"], values, [SENT_MS] * 3)
    assert (sender.accepted, sender.confirmed) == (1, 1)
    assert [message.value() for message in messages_of(broker.bootstrap, TOPIC)] == [b"1"]


def test_after_ctrl_c_what_was_accepted_has_arrived_and_is_counted(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TOPIC, 2)
    interrupt = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    with pytest.raises(KeyboardInterrupt), Sender(kafka_lake()) as sender:
        interrupt.start()
        for first in range(0, 10**9, 1_000):
            send_numbers(sender, first, 1_000)
    arrived = messages_of(broker.bootstrap, TOPIC)
    # between a record taken and its being counted lies one instruction
    assert 1_000 < sender.confirmed <= len(arrived) <= sender.confirmed + 1
    assert sent_numbers(broker.bootstrap, TOPIC) == all_once_in_order(len(arrived))


def test_ctrl_c_does_not_wait_long_for_a_broker_that_does_not_answer(
    broker: Broker, kafka_lake: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce_module, "INTERRUPTED_SECONDS", 1.0)
    broker.create_topic(TOPIC)
    with pytest.raises(KeyboardInterrupt), Sender(kafka_lake()) as sender:
        send_numbers(sender, 0, 500)
        sender.flush()
        broker.signal(signal.SIGSTOP)
        send_numbers(sender, 500, 400)
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 4
    assert (sender.accepted, sender.confirmed) == (900, 500)
