"""A resident process that lands as records come, started and watched by a test."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows

REPOSITORY = Path(__file__).resolve().parents[1]
FOLLOW = """
import sys
from ingestion.land import land_topics
from lake.settings import load_settings
print([(landing.dataset, landing.ok + landing.rejected)
       for landing in land_topics(load_settings(), sys.argv[1:], follow=True)][0][1])
"""


@contextmanager
def following(settings: Settings, *datasets: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that lands the datasets (all, if none is named) until it is stopped.

    It prints what landed of the first; it is killed at the end if it still lives.
    """
    environment = {
        "TICKLAKE_BATCH_SECONDS": "0.5",
        **os.environ,
        "LAKE_URI": str(settings.root),
        "TICKLAKE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, *datasets],
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


def wait_for_line(process: "subprocess.Popen[str]", said: str, seconds: float) -> str:
    """Wait until the process prints a line with these words; returns it. Fails after `seconds`."""
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            if said in line:
                return line
    finally:
        timer.cancel()
    raise AssertionError(f"process {process.pid} did not say {said!r} within {seconds} s")


def wait_for(rows: int, settings: Settings, seconds: float, dataset: str = "trades") -> float:
    """Wait until bronze holds so many rows; returns how long that took. Fails after `seconds`."""
    table = layout(settings).bronze(dataset)
    began = time.monotonic()
    while (found := len(bronze_rows.rows(table))) < rows:
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{found} of {rows} rows in bronze after {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began
