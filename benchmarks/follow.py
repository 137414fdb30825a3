"""How long a record takes from its producer to durable bronze, while `ingest --follow` runs.

Three processes: the broker, one that sends at a steady pace (`send`), one that follows (`follow`).
A record carries the moment it was handed to the client as its Kafka time. The moment at which it is
durable is when `land_topics` reports its commit: files, log entry and folders are synced by then.
"""

import signal
import time
from pathlib import Path

import polars as pl
import structlog
from deltalake import DeltaTable

from benchmarks.topic import SHAPES, TOPIC, messages, running
from benchmarks.worker import Job, Worker, serve
from ingestion.land import land_topics
from ingestion.produce import Sender
from lake.bronze import Commit
from lake.layout import layout
from lake.settings import Settings, load_settings

POOL_RECORDS = 100_000
WARM_RECORDS = 5_000
TICK_SECONDS = 0.01
LANDED_SECONDS = 60.0


def latency(bootstrap: str, folder: Path, rate: int, seconds: float) -> Job:
    """Send `rate` records a second for so long and follow them; percentiles in ms, over records."""
    log = folder / "commits.tsv"
    lake = str(folder / "lake")
    with (
        running(bootstrap, folder / "broker") as broker,
        Worker("benchmarks.follow") as follower,
        Worker("benchmarks.follow") as sender,
    ):
        place = {"bootstrap": broker.kafka_bootstrap, "log": str(log)}
        follower.begin(do="follow", lake=lake, **place)
        sent = sender.ask(do="send", rate=rate, seconds=seconds, **place)
        wait_for(log, WARM_RECORDS + sent["records"])
        follower.interrupt()
        followed = follower.end()
    return {**judged(settings_of(lake, ""), log, sent), "peak_mb": followed["peak_mb"]}


def follow(lake: str, bootstrap: str, log: str) -> Job:
    """Land all topics until interrupted, noting each commit of trades as it becomes durable."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have switched it off
    with Path(log).open("w", buffering=1) as lines:

        def note(commit: Commit) -> None:
            spent = time.process_time()
            rows = commit.ok + commit.rejected
            lines.write(f"{commit.batch}\t{time.time_ns()}\t{rows}\t{spent}\n")

        landings = land_topics(settings_of(lake, bootstrap), (), True, note)
    return {"records": sum(landing.ok + landing.rejected for landing in landings)}


def send(bootstrap: str, log: str, rate: int, seconds: float, live: bool = False) -> Job:
    """Send a few, wait until they are landed, then send at a steady pace.

    `live` records happen when they are sent; others at their time in the generated market.
    `behind_ms` is how far it ever fell behind its own pace.
    """
    # Sound ones: sent now, what was dated in the future would be sound and lie on 300 days.
    made = list(messages(SHAPES["clean"], POOL_RECORDS))
    values = [value for block in made for value in block.values.to_list()]
    keys = [key for block in made for key in block.keys.to_list()]
    share = round(rate * TICK_SECONDS)
    behind = 0.0
    with Sender(settings_of(".", bootstrap)) as sender:

        def send_some(first: int, count: int) -> None:
            part = slice(first % POOL_RECORDS, first % POOL_RECORDS + count)
            now = time.time_ns() // 1_000_000
            some = [stamped(value, now) for value in values[part]] if live else values[part]
            sender.send(TOPIC, keys[part], some, [now] * len(some))

        send_some(0, WARM_RECORDS)
        sender.flush()
        wait_for(Path(log), WARM_RECORDS)
        began, began_ns = time.perf_counter(), time.time_ns()
        for tick in range(round(seconds / TICK_SECONDS)):
            early = began + tick * TICK_SECONDS - time.perf_counter()
            behind = max(behind, -early)
            if early > 0:
                time.sleep(early)
            send_some(tick * share, share)
        sender.flush()
        took = time.perf_counter() - began
    records = sender.confirmed - WARM_RECORDS
    return {
        "records": records,
        "seconds": took,
        "began_ns": began_ns,
        "behind_ms": behind * 1e3,
    }


def stamped(value: bytes, ms: int) -> bytes:
    """A message with another time of its event."""
    head, _, rest = value.partition(b'"timestamp":"')
    return b'%s"timestamp":%d%s' % (head, ms, rest.partition(b'"')[2])


def judged(settings: Settings, log: Path, sent: Job) -> Job:
    """Latency and CPU of the records that were sent, from the commits that were noted."""
    noted = pl.read_csv(
        log, separator="\t", has_header=False, new_columns=["batch", "durable_ns", "rows", "cpu"]
    )
    table = DeltaTable(str(layout(settings).bronze("trades")))
    rows = pl.read_parquet(table.file_uris(), columns=["batch", "recv_ts_ns"])
    expected = WARM_RECORDS + sent["records"]
    if rows.height != expected:
        raise AssertionError(f"{expected} records were sent and {rows.height} landed")
    began = sent["began_ns"] // 1_000_000 * 1_000_000  # Kafka's times are in ms
    took = rows.join(noted, on="batch", validate="m:1").select(
        "batch", "recv_ts_ns", ms=(pl.col("durable_ns") - pl.col("recv_ts_ns")) / 1e6
    )
    took = took.filter(pl.col("recv_ts_ns") >= began)
    if took.height != sent["records"]:
        raise AssertionError(f"{sent['records']} records were sent and {took.height} are judged")
    of_batch = took.group_by("batch").agg(newest=pl.min("ms"))
    paced = noted.filter(pl.col("durable_ns") >= sent["began_ns"])
    cpu = noted["cpu"][-1] - noted.filter(pl.col("durable_ns") < sent["began_ns"])["cpu"].max()
    return {
        "records": took.height,
        "rate": took.height / sent["seconds"],
        "behind_ms": sent["behind_ms"],
        "commits": paced.height,
        "p50_ms": took["ms"].quantile(0.5),
        "p95_ms": took["ms"].quantile(0.95),
        "p99_ms": took["ms"].quantile(0.99),
        "max_ms": took["ms"].max(),
        "newest_ms": of_batch["newest"].median(),
        "us_per_record": cpu / took.height * 1e6,
    }


def wait_for(log: Path, rows: int) -> None:
    """Wait until so many records are noted as durable. Raises TimeoutError after a minute."""
    deadline = time.monotonic() + LANDED_SECONDS
    found = 0
    while found < rows:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {rows} records landed in {LANDED_SECONDS:g} s")
        time.sleep(0.05)
        lines = log.read_text().splitlines() if log.exists() else []
        found = sum(int(line.split("\t")[2]) for line in lines if line.count("\t") == 3)


def settings_of(lake: str, bootstrap: str) -> Settings:
    """Settings of a lake and a broker."""
    return load_settings({"LAKE_URI": lake, "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap})


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve({"follow": follow, "send": send})
