"""A tenfold burst: ten times the records are landed, in the memory that a tenth of them takes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from lake.layout import layout
from lake.settings import PROJECT, Settings, load_settings
from tests.desk import trade
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import TOPICS

TRADES = TOPICS["trades"]
CALM = 6_000  # records of 1.6 KB: 10 MB, and 100 MB in a burst
NOTE = "x" * 1_500
MOST = 1.25  # times the memory without a burst
LAND = """
import json, re, sys
from pathlib import Path
from ingestion.land import land_topics
from lake.settings import load_settings
(landing,) = land_topics(load_settings(), ["trades"], follow="follow" in sys.argv)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([landing.ok, int(peak[1])]))  # rusage would count the parent's before the exec
"""


def peak_kib(root: Path, times: int, how: str) -> int:
    """Largest memory of a process that lands a backlog of `times` the calm one; all of it lands."""
    with Broker() as broker:
        broker.create_topic(TRADES, 2)
        one = json.dumps(trade(1, "12:00:00", conditions=NOTE)).encode()
        count = CALM * times
        broker.produce(TRADES, (Sent(one, n % 2, 1_759_500_000_000) for n in range(count)))
        environment = {
            "LAKE_URI": str(root),
            "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
            "TICKLAKE_KAFKA_BUFFER_MB": "8",
            "TICKLAKE_BATCH_ROWS": "2000",
        }
        settings = load_settings(environment)
        process = subprocess.Popen(
            [sys.executable, "-c", LAND, how],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        if how == "follow":
            wait_for_all(settings, count)
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    landed, peak = json.loads(out.splitlines()[-1])
    assert landed == count
    assert positions(settings) == [(count // 2, count // 2, 0, count // 2 - 1)] * 2
    return int(peak)


def wait_for_all(settings: Settings, count: int) -> None:
    """Wait until a resident process has landed so many rows."""
    table, until = layout(settings).bronze("trades"), time.monotonic() + 120
    while not DeltaTable.is_deltatable(str(table)) or DeltaTable(str(table)).count() < count:
        assert time.monotonic() < until
        time.sleep(0.1)


def positions(settings: Settings) -> list[tuple[int, int, int, int]]:
    """Rows, different positions, first and last one of each unit."""
    files = DeltaTable(str(layout(settings).bronze("trades"))).file_uris()
    with duckdb.connect() as conn:
        return conn.execute(
            "select count(*), count(distinct position), min(position), max(position) "
            "from read_parquet($files) group by unit",
            {"files": files},
        ).fetchall()


@pytest.mark.parametrize("how", ["once", pytest.param("follow", marks=pytest.mark.slow)])
def test_a_tenfold_burst_lands_in_the_memory_of_a_calm_hour(how: str, tmp_path: Path) -> None:
    calm = peak_kib(tmp_path / "calm", 1, how)
    burst = peak_kib(tmp_path / "burst", 10, how)
    assert burst < MOST * calm, f"{burst / 1024:.0f} MB against {calm / 1024:.0f} MB"
