"""How fast a record is in a candle while `ingest --follow` runs, and what that costs."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import structlog

from benchmarks.follow import WARM_RECORDS, judged, settings_of, wait_for
from benchmarks.topic import running
from benchmarks.worker import Job, Worker, serve
from contracts import registry
from ingestion.follow import follow_topics
from lake.bronze import Commit
from lake.settings import load_settings


def latency(folder: Path, rate: int, seconds: float, speed: str) -> Job:
    """Send at a pace and follow, with the speed layer `on` or `off`."""
    log, ages, lake = folder / "commits.tsv", folder / "ages.json", str(folder / "lake")
    with (
        running("", folder / "broker") as broker,
        Worker("benchmarks.speed_follow") as follower,
        Worker("benchmarks.follow") as sender,
    ):
        place = {"bootstrap": broker.kafka_bootstrap, "log": str(log)}
        follower.begin(do="follow", lake=lake, ages=str(ages), speed=speed, **place)
        sent = sender.ask(do="send", live=True, rate=rate, seconds=seconds, **place)
        wait_for(log, WARM_RECORDS + sent["records"])
        follower.interrupt()
        followed = follower.end()
    landed = judged(settings_of(lake, ""), log, sent)
    return {**landed, "candle": _percentiles(ages, sent), "peak_mb": followed["peak_mb"]}


def follow(lake: str, bootstrap: str, log: str, ages: str, speed: str) -> Job:
    """Land trades until interrupted, noting commits, and the age of records put into candles."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have switched it off
    settings = load_settings(
        {"LAKE_URI": lake, "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap, "TICKLAKE_SPEED": speed}
    )
    taken: list[tuple[int, pl.Series]] = []
    with Path(log).open("w", buffering=1) as lines:

        def note(commit: Commit) -> None:
            spent, rows = time.process_time(), commit.ok + commit.rejected
            lines.write(f"{commit.batch}\t{time.time_ns()}\t{rows}\t{spent}\n")

        landings = follow_topics(
            settings,
            [registry.get("trades")],
            note,
            lambda _, received: taken.append((time.time_ns(), received)),
        )
    told = [(at, series.to_list()) for at, series in taken]
    Path(ages).write_text(json.dumps(told))
    return {"records": sum(landing.ok + landing.rejected for landing in landings)}


def _percentiles(ages: Path, sent: Job) -> Job | None:
    began = sent["began_ns"] // 1_000_000 * 1_000_000
    found = [
        (at - received) / 1e6
        for at, some in json.loads(ages.read_text())
        for received in some
        if received >= began
    ]
    if not found:
        return None
    p50, p95, p99 = np.percentile(found, [50, 95, 99])
    share = len(found) / sent["records"]
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max(found), "share": share}


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve({"follow": follow})
