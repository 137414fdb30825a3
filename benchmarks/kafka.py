"""What is measured between the topic and bronze: consuming alone, and landing. Run by ingest.py."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from benchmarks.topic import SHAPES, TOPIC, messages
from benchmarks.worker import Job, serve
from ingestion.land import Landing, land_file, land_topics
from lake.settings import load_settings

# The cheapest of 200 to 10,000 a call that were tried; 5,000 cost a sixth more.
POLL_RECORDS, POLL_SECONDS = 500, 0.05
WARM_RECORDS = 1_000


def discard(bootstrap: str) -> Job:
    """Read every record of the topic with confluent-kafka and do nothing with it.

    As fast as the client goes: fetching without back-off, hundreds of records a call, no group.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmark",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = sorted(consumer.list_topics(TOPIC, 10).topics[TOPIC].partitions)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
    unread, records = set(partitions), 0
    while unread:
        for message in consumer.consume(POLL_RECORDS, POLL_SECONDS):
            error = message.error()
            if error is None:
                records += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            else:
                raise RuntimeError(f"{bootstrap}: {error.str()}")
    consumer.close()
    return {"records": records}


def land(bootstrap: str) -> Job:
    """Land the topic into a fresh lake: checked, committed with its positions, synced."""
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap})
        (landing,) = land_topics(settings, ("trades",))
        return told(landing)


def warm() -> Job:
    """Land a few trades, so that what is made once a process is not charged to the records."""
    (block,) = messages(SHAPES["faulty"], WARM_RECORDS)
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        lines = Path(folder) / "trades.jsonl"
        lines.write_bytes(b"\n".join(block.values.to_list()) + b"\n")
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": ""})
        return told(land_file(settings, lines, "json_trades"))


def told(landing: Landing) -> dict[str, Any]:
    """What a landing brought."""
    return {
        "records": landing.ok + landing.rejected,
        "rejected": landing.rejected,
        "commits": landing.batches,
    }


JOBS: dict[str, Callable[..., Job]] = {"discard": discard, "land": land, "warm": warm}

if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve(JOBS)
