"""How fast the generator is, beside a bare vectorised write of the very same columns and bytes.

Run: python -m benchmarks.generate [--scale 1.0] [--rounds 3]

(a) The full preset (12.2 M rows) to Parquet: drawing the market, shaping it into tables, and
    pyarrow writing them (zstd 3). The last is the bare write that the whole is compared with.
(b) Quotes and trades to the bytes that Kafka takes: drawing, writing JSON, and handing it out as
    Python bytes, beside numpy copying the same bytes from one buffer to another.

CPU is of this process with all its threads, so messages per CPU-second are messages per second
and core. Every round draws from another seed, or it would find the market ready made. Trades follow
the quotes of their day, which stand ready when the quotes were drawn first.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from ingestion.generate.files import parquet_writer, table
from ingestion.generate.plan import Plan
from ingestion.generate.presets import make_plan
from ingestion.generate.stream import Block, blocks, datasets

TARGET_CPU_SECONDS, TARGET_RATE = 60, 500_000
ENCODED = ("quotes", "trades")


@dataclass
class Run:
    """CPU seconds of one dataset, stage by stage; `bare` is what they are compared with."""

    rows: int = 0
    size: int = 0
    draw: float = 0.0
    shape: float = 0.0
    hand_out: float = 0.0
    bare: float = 0.0

    def timed(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns; its CPU time is added to the stage."""
        began = time.process_time()
        made = work(*arguments)
        setattr(self, stage, getattr(self, stage) + time.process_time() - began)
        return made


def drawn(plan: Plan, dataset: str, run: Run) -> Iterator[Block]:
    """The blocks of a dataset, timed as they are drawn."""
    made = blocks(plan, dataset, plan.days[0])
    while (block := run.timed("draw", next, made, None)) is not None:
        run.rows += len(block)
        yield block


def to_parquet(plan: Plan, dataset: str, path: Path) -> Run:
    """A dataset into a Parquet file; `bare` is pyarrow's part of it."""
    run, writer = Run(), None
    for block in drawn(plan, dataset, run):
        rows = run.timed("shape", _table, block)
        writer = writer or parquet_writer(path, rows)
        run.timed("bare", writer.write_table, rows)
    if writer is not None:
        run.timed("bare", writer.close)
    run.size = path.stat().st_size
    return run


def to_bytes(plan: Plan, dataset: str) -> Run:
    """A dataset as bytes objects; `bare` is a copy of as many bytes between two buffers."""
    run = Run()
    for block in drawn(plan, dataset, run):
        run.timed("shape", getattr, block, "values")
        values, _ = run.timed("hand_out", _lists, block)
        source = np.frombuffer(b"".join(values), dtype=np.uint8)
        target = np.zeros_like(source)  # touched, so that no page is missing
        run.timed("bare", np.copyto, target, source)
        run.size += len(source)
    return run


def _table(block: Block) -> pa.Table:
    return table(block.form, block.frame, block.typed)


def _lists(block: Block) -> tuple[list[bytes], list[bytes]]:
    return block.values.to_list(), block.keys.to_list()


def parquet_report(rounds: list[dict[str, Run]], scale: float) -> Table:
    """CPU seconds by dataset and stage, medians over the rounds."""
    made = Table(title=f"(a) full preset x {scale:g} to Parquet, CPU seconds")
    for name in ("dataset", "rows", "draw", "shape", "write", "all", "all : write", "MB"):
        made.add_column(name, justify="left" if name == "dataset" else "right")
    totals = [0.0, 0.0, 0.0]
    rows = 0
    for dataset in rounds[0]:
        runs = [round[dataset] for round in rounds]
        stages = [median(getattr(run, name) for run in runs) for name in ("draw", "shape", "bare")]
        totals = [total + stage for total, stage in zip(totals, stages, strict=True)]
        rows += runs[0].rows
        made.add_row(dataset, *_costs(runs[0].rows, stages), f"{runs[0].size / 1e6:,.0f}")
    made.add_row("all", *_costs(rows, totals), "", style="bold")
    made.caption = (
        f"{sum(totals) / rows * 12.2e6:.1f} CPU-s for 12.2 M rows at this rate; "
        f"target {TARGET_CPU_SECONDS}"
    )
    return made


def _costs(rows: int, stages: list[float]) -> list[str]:
    whole = sum(stages)
    return [f"{rows:,}", *(f"{s:.2f}" for s in (*stages, whole)), f"{whole / stages[-1]:.1f}"]


def bytes_report(rounds: list[dict[str, Run]]) -> Table:
    """ns a message by stage, and messages per CPU-second, medians over the rounds."""
    made = Table(title="(b) JSON to Kafka-ready bytes, CPU ns a message")
    columns = ("dataset", "bytes", "draw", "JSON", "lists", "copy")
    for name in (*columns, "encode/s", "all/s", "encode : copy"):
        made.add_column(name, justify="left" if name == "dataset" else "right")
    for dataset in rounds[0]:
        runs = [round[dataset] for round in rounds]
        draw, text, hand_out, bare = (
            median(getattr(run, name) / run.rows for run in runs) * 1e9
            for name in ("draw", "shape", "hand_out", "bare")
        )
        encode = text + hand_out
        made.add_row(
            dataset,
            f"{runs[0].size / runs[0].rows:.0f}",
            *(f"{cost:,.0f}" for cost in (draw, text, hand_out, bare)),
            *(f"{1e9 / cost:,.0f}" for cost in (encode, draw + encode)),
            f"{encode / bare:.0f}",
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    made.caption = (
        f"encode is JSON and lists, all is with drawing: messages per CPU-second, target "
        f"{TARGET_RATE:,}; peak memory {peak:,} MB"
    )
    return made


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full preset")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    full = make_plan("full")
    sizes = {name: max(1_000, round(getattr(full, name) * asked.scale)) for name in datasets(full)}
    parquet, encoded = [], []
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        for number in range(asked.rounds):
            plan = make_plan("full", seed=number, **sizes)
            path = Path(folder) / "made.parquet"
            parquet.append({name: to_parquet(plan, name, path) for name in datasets(plan)})
            plan = replace(plan, seed=asked.rounds + number)
            encoded.append({name: to_bytes(plan, name) for name in ENCODED})
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(parquet_report(parquet, asked.scale))
    console.print(bytes_report(encoded))


if __name__ == "__main__":
    main()
