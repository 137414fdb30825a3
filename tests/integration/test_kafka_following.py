"""The resident process: lands as records come, and may be stopped at any moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingestion.land import land_topics
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages

TRADES = TOPICS["trades"]
REPOSITORY = Path(__file__).resolve().parents[2]
FOLLOW = """
from ingestion.land import land_topics
from lake.settings import load_settings
print([(landing.dataset, landing.ok + landing.rejected)
       for landing in land_topics(load_settings(), ("trades", "quotes"), follow=True)][0][1])
"""
MakeSettings = Callable[..., Settings]


def bronze(settings: Settings) -> list[dict[str, Any]]:
    return bronze_rows.rows(layout(settings).bronze("trades"))


@contextmanager
def following(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    """A process that lands with follow=True, killed at the end if it still lives."""
    environment = {
        **os.environ,
        "LAKE_URI": str(settings.root),
        "TICKLAKE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "TICKLAKE_BATCH_SECONDS": "0.5",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOW],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(rows: int, settings: Settings, seconds: float) -> float:
    """Wait until bronze holds so many rows; returns how long that took. Fails after `seconds`."""
    began = time.monotonic()
    while (found := len(bronze(settings))) < rows:
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{found} of {rows} rows in bronze after {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_resident_process_lands_within_two_seconds_and_loses_nothing_when_stopped(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.create_topic(TOPICS["quotes"], 2)
    settings = kafka_lake()
    parts = [messages(seed, "trades", 40, 2) for seed in range(3)]
    with following(settings) as process:
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
    assert len({(row["unit"], row["position"]) for row in bronze(settings)}) == 120


def test_a_resident_process_waits_for_its_topic(broker: Broker, kafka_lake: MakeSettings) -> None:
    broker.create_topic(TRADES, 2)
    settings = kafka_lake()
    with following(settings):  # the quotes topic does not exist
        broker.produce(TRADES, messages(1, "trades", 10, 2))
        wait_for(10, settings, 30)
        broker.create_topic(TOPICS["quotes"], 1)
        broker.produce(TOPICS["quotes"], messages(1, "quotes", 10, 1))
        table = layout(settings).bronze("quotes")
        deadline = time.monotonic() + 10
        while len(bronze_rows.rows(table)) < 10 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(bronze_rows.rows(table)) == 10
