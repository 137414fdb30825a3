"""How fast landing is, beside the fastest thing there is: consuming the same topic and discarding.

Run: python -m benchmarks.landing [--records 300000] [--rounds 3]

Both read the same trades from the same embedded broker, in turns. CPU is of this process with all
its threads (librdkafka's too), without the broker's.
"""

import argparse
import resource
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from statistics import median

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition
from rich.console import Console
from rich.table import Table

from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from ingestion.land import land_topics
from ingestion.produce import produce
from lake.settings import Settings, load_settings
from ticklake.services import broker

DAY = date(2025, 10, 2)
POLL_RECORDS, POLL_SECONDS = 5_000, 0.05
TOPIC = registry.get("trades").topic


@dataclass(frozen=True)
class Run:
    """One pass over the topic."""

    records: int
    seconds: float
    cpu_seconds: float


def measured(work: Callable[[], int]) -> Run:
    """Run `work`, which returns a number of records, on the wall clock and the CPU's."""
    wall, cpu = time.perf_counter(), time.process_time()
    records = work()
    return Run(records, time.perf_counter() - wall, time.process_time() - cpu)


def consume_and_discard(settings: Settings) -> int:
    """Read every record of the topic with confluent-kafka and do nothing with it."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "benchmark",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = sorted(consumer.list_topics(TOPIC, 10).topics[TOPIC].partitions)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
    open_partitions, records = set(partitions), 0
    while open_partitions:
        for message in consumer.consume(POLL_RECORDS, POLL_SECONDS):
            error = message.error()
            if error is None:
                records += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
    consumer.close()
    return records


def land(settings: Settings) -> int:
    """Land the topic into a fresh lake, durably."""
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        address = settings.kafka_bootstrap
        fresh = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": address})
        (landing,) = land_topics(fresh, ("trades",))
        return landing.ok + landing.rejected


def fill(settings: Settings, records: int) -> Run:
    """Put generated trades, 5 % of them faulty, on the topic."""
    made = stream(Plan(days=(DAY,), quotes=records // 3, trades=records), "trades", DAY)
    return measured(
        lambda: produce(settings, TOPIC, made.keys, made.values, made.recv_ts_ms.tolist())
    )


def report(produced: Run, runs: dict[str, list[Run]]) -> Table:
    """Medians over the rounds; the ratio is in CPU per record, which other load moves least."""
    table = Table(title=f"{produced.records:,} trades from the embedded broker")
    for name in ("", "records/s", "CPU µs/record", "CPU ratio"):
        table.add_column(name, justify="right" if name else "left")
    cost = {name: median(run.cpu_seconds / run.records for run in of) for name, of in runs.items()}
    base = next(iter(cost.values()))
    for name, of in runs.items():
        rate = median(run.records / run.seconds for run in of)
        table.add_row(name, f"{rate:,.0f}", f"{cost[name] * 1e6:.2f}", f"{cost[name] / base:.1f}")
    rate, cpu = produced.records / produced.seconds, produced.cpu_seconds / produced.records
    table.add_row("(producing them)", f"{rate:,.0f}", f"{cpu * 1e6:.2f}", "")
    table.caption = f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
    return table


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        address = f"127.0.0.1:{_free_port()}"
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": address})
        broker.start(settings)
        try:
            produced = fill(settings, asked.records)
            runs: dict[str, list[Run]] = {"consume and discard": [], "land, durably": []}
            for _ in range(asked.rounds):
                runs["consume and discard"].append(measured(lambda: consume_and_discard(settings)))
                runs["land, durably"].append(measured(lambda: land(settings)))
        finally:
            broker.stop(settings)
    Console().print(report(produced, runs))


if __name__ == "__main__":
    main()
