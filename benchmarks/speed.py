"""The speed layer: 500,000 trades to candles, how fast a record is in a candle, and what it costs.

Latency and cost are taken over the real resident loop with the embedded broker: one process sends
at a steady pace, one is the broker, one follows, with the speed layer and again without it. A
record's age in a candle is the time from its Kafka time (taken when it is handed to the client, in
ms) until it is part of the candles that the process holds; the file that others read is up to
TICKLAKE_SPEED_SHOW_SECONDS older. CPU is that of the following process alone.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.speed_follow import latency
from benchmarks.worker import Job
from ingestion.speed.engine import State
from ingestion.speed.landed import ROWS, Landed

TRADES = 500_000
HOUR_NS = 3_600_000_000_000
ROUNDS = 5


def candles() -> Job:
    """Decoded trades of one hour, 8 instruments on 3 venues, to all three widths; best of five."""
    rows = _rows(TRADES)
    took = []
    for _ in range(ROUNDS):
        state, landed = State("trades"), Landed("trades", 1, {1: 0}, {}, rows)
        began = time.perf_counter()
        finished = state.advance(landed)
        took.append(time.perf_counter() - began)
    return {"trades": TRADES, "candles": finished.height, "best_s": min(took), "worst_s": max(took)}


def _rows(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    event = 1_759_406_400_000_000_000 + np.sort(rng.integers(0, HOUR_NS, count))
    arrival = event + rng.integers(0, 100_000_000, count)
    order = np.argsort(arrival, kind="stable")
    cents = pl.Series(rng.integers(10_000, 10_100, count)).cast(pl.Decimal(18, 0))
    frame = pl.DataFrame(
        {
            "unit": "kafka:benchmark/trades/0",
            "position": np.arange(count),
            "event_ts_ns": event[order],
            "recv_ts_ns": arrival[order],
            "instrument_id": np.array([f"SYM{n}" for n in range(8)])[rng.integers(0, 8, count)],
            "venue": np.array(["NYSE", "NASDAQ", "BATS"])[rng.integers(0, 3, count)],
            "source": "market.trades.v1",
            "price": cents,
            "quantity": rng.integers(1, 1_000, count),
            "sequence": np.arange(count),
            "trade_id": [f"T{number}" for number in range(count)],
            "conditions": None,
            "batch": "benchmark",
            "version": 1,
            "is_replay": False,
        }
    )
    return frame.select(pl.col(name).cast(dtype) for name, dtype in ROWS.items())


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description="The speed layer.")
    asked.add_argument("--rate", type=int, default=50_000, help="records a second")
    asked.add_argument("--seconds", type=float, default=10.0)
    given = asked.parse_args()
    made = candles()
    print(
        f"{made['trades']:,} trades to {made['candles']:,} candles of three widths: "
        f"{made['best_s']:.3f} s best, {made['worst_s']:.3f} s worst of {ROUNDS}"
    )
    found = {}
    for speed in ("on", "off"):
        with tempfile.TemporaryDirectory() as folder:
            found[speed] = latency(Path(folder), given.rate, given.seconds, speed)
        one = found[speed]
        print(
            f"speed {speed}: {one['rate']:,.0f} records/s, sender behind by at most "
            f"{one['behind_ms']:.0f} ms; durable p50 {one['p50_ms']:.0f} ms, "
            f"p95 {one['p95_ms']:.0f} ms; {one['us_per_record']:.2f} us CPU a record; "
            f"peak {one['peak_mb']:.0f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
    told = found["on"]["candle"]
    print(
        f"message to candle: p50 {told['p50_ms']:.0f} ms, p95 {told['p95_ms']:.0f} ms, "
        f"p99 {told['p99_ms']:.0f} ms, max {told['max_ms']:.0f} ms "
        f"({told['share']:.1%} of records before their commit settled)"
    )
    ratio = found["on"]["us_per_record"] / found["off"]["us_per_record"]
    print(f"CPU of the resident process with the speed layer: {ratio:.2f} x without")


if __name__ == "__main__":
    main()
