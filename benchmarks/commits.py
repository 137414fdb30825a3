"""Whether a record costs the same in the last of many commits as in the first. Run by ingest.py."""

import tempfile
import time
from functools import partial
from itertools import islice

import polars as pl
import structlog

from benchmarks.topic import SHAPES, messages
from benchmarks.worker import Job, serve, system_seconds
from contracts import registry
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.land import land_batch
from lake.bronze import BronzeWriter, Span
from lake.layout import layout
from lake.settings import load_settings

CONTRACT = registry.get("trades")
MAX_BYTES = 262_144
POOL = 100  # batches that are made beforehand, and landed again and again
BUCKETS = 10
UNIT = "kafka:benchmark/trades/0"


def commits(count: int, rows: int) -> Job:
    """Land `count` batches of `rows` trades, a commit each, on one handle.

    `buckets` has, for each tenth of them: commits, CPU us per record; CPU, system (the kernel's
    part of it) and clock ms per commit.
    """
    made = messages(SHAPES["faulty"], POOL * rows)
    values = [value for block in made for value in block.values.to_list()]
    pool = [values[place * rows : (place + 1) * rows] for place in range(POOL)]
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": ""})
        writer = BronzeWriter(CONTRACT, layout(settings))
        batches = (_batch(pool[n % POOL], n * rows) for n in range(count))
        size = count // BUCKETS
        spent = [_land(writer, list(islice(batches, size))) for _ in range(BUCKETS)]
        position = writer.next_position(UNIT)
    buckets = [
        {
            "commits": size,
            "us_per_record": cpu / size / rows * 1e6,
            "cpu_ms": cpu / size * 1e3,
            "system_ms": system / size * 1e3,
            "clock_ms": clock / size * 1e3,
        }
        for cpu, system, clock in spent
    ]
    return {"records": position, "rows": rows, "buckets": buckets}


def _land(writer: BronzeWriter, batches: list[Batch]) -> tuple[float, float, float]:
    clock, cpu, system = time.perf_counter(), time.process_time(), system_seconds()
    for batch in batches:
        land_batch(writer, batch)
    return (
        time.process_time() - cpu,
        system_seconds() - system,
        time.perf_counter() - clock,
    )


def _batch(records: list[bytes], first: int) -> Batch:
    rows = len(records)
    provenance = pl.select(
        recv_ts_ns=pl.lit(1_759_500_000_000_000_000, pl.Int64),
        unit=pl.lit(UNIT),
        position=pl.int_range(first, first + rows, dtype=pl.Int64),
        delivery_unit=pl.lit(None, pl.String),
    )
    return Batch(
        contract=CONTRACT,
        source="benchmark",
        provenance=provenance,
        spans=[Span(UNIT, first, first + rows, rows)],
        raw=lambda places: [records[place] for place in places],
        decode=partial(decode_json, CONTRACT, records, MAX_BYTES),
    )


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve({"commits": commits})
