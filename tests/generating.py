"""`ticklake generate` as a process of its own, stopped by Ctrl-C, and what the broker has of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.embedded_broker import Broker

DAY = "2025-10-02"
SMALL = (
    "--preset",
    "high-volume",
    "--quotes",
    "3k",
    "--trades",
    "2k",
    "--securities",
    "300",
    "--day",
    DAY,
)
TOPICS = {
    "securities": "reference.securities.v1",
    "quotes": "market.quotes.v1",
    "trades": "market.trades.v1",
}
Messages = dict[str, list[tuple[bytes, bytes, int]]]  # by dataset: key, value, Kafka's time


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ticklake.cli", "generate", *arguments]


def environment(lake: Path, bootstrap: str = "") -> dict[str, str]:
    return {**os.environ, "LAKE_URI": str(lake), "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap}


def generate(lake: Path, *arguments: str, bootstrap: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(lake, bootstrap),
        capture_output=True,
        text=True,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def counts(facts: dict[str, Any]) -> dict[str, int]:
    return {row["dataset"]: row["messages"] for row in facts["datasets"]}


def interrupted(
    lake: Path, *arguments: str, ready: Callable[[], bool], bootstrap: str = ""
) -> tuple[int, dict[str, Any], str]:
    """Ctrl-C once `ready`; exit code, what was told on stdout, and stderr."""
    process = subprocess.Popen(
        command(*arguments, "--json"),
        env=environment(lake, bootstrap),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(ready, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, json.loads(out), err


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline, "nothing happened within a minute"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def drained(broker: Broker, enough: int | None = None) -> Messages:
    """Every message of the topics, or the first `enough`: an endless stream may outrun us."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "test",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    names = {topic: dataset for dataset, topic in TOPICS.items()}
    known = consumer.list_topics(timeout=10).topics
    places = [
        TopicPartition(topic, number, 0)
        for topic in names
        if topic in known
        for number in known[topic].partitions
    ]
    consumer.assign(places)
    found: Messages = {dataset: [] for dataset in TOPICS}
    # A partition whose end was reached may grow and end again: one end is enough.
    unread = {(place.topic, place.partition) for place in places}
    while unread and (enough is None or sum(map(len, found.values())) < enough):
        for message in consumer.consume(5_000, 1.0):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                unread.discard((message.topic(), message.partition()))
                continue
            found[names[message.topic()]].append(
                (message.key(), message.value(), message.timestamp()[1])
            )
    consumer.close()
    return found


def has(broker: Broker, messages: int) -> bool:
    """Has the broker as many messages by now?"""
    return sum(map(len, drained(broker, messages).values())) >= messages
