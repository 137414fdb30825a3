"""How long the expectations of a large table take, and how much memory.

Makes trades as `gold.enriched_trades` has them, in Parquet behind a view as readers see them, and
judges them by that table's own suite in a process of its own. Run with `python -m
benchmarks.expectations`; `--rows` for another size, `--json` for programs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb

TABLE = "gold.enriched_trades"
TARGET_S, TARGET_MB = 10.0, 2048

# What the suite looks at is made up; what it does not is null, as most of it is in a quiet market.
_MADE = {
    "trade_key": "md5(i::varchar)",
    "trade_id": "'T' || i",
    "instrument_id": "'SYM_' || (i % 500)",
    "venue": "'XNAS'",
    "event_ts_ns": "1759415400000000000 + i * 2000000",
    "price": "(100 + i % 1000 / 100)::decimal(18,9)",
    "quantity": "(1 + i % 900)::decimal(28,8)",
    "side": "case i % 3 when 0 then 'B' when 1 then 'S' end",
    "quote_status": "case when i % 20 = 0 then 'STALE' else 'OK' end",
    "is_parked": "false",
}


def make(folder: Path, rows: int) -> Path:
    """A file of views with one table of that many rows."""
    from checks.expectations.models import models

    columns = ", ".join(
        f"({_MADE.get(name, 'null')})::{dtype} as {name}"
        for name, dtype in models()[TABLE].columns.items()
    )
    path = folder / "lakehouse.duckdb"
    with duckdb.connect(str(path)) as conn:
        conn.execute(
            f"copy (select {columns} from range({rows}) as made(i)) to '{folder}/trades.parquet' "
            "(format parquet, compression zstd)"
        )
        conn.execute("create schema gold")
        conn.execute(
            f"create view {TABLE} as select * from read_parquet(['{folder}/trades.parquet'])"
        )
    return path


def judged(path: Path) -> dict[str, Any]:
    """Judge the table once: what a process spends on it, the library's import apart."""
    began = time.perf_counter()
    from checks.expectations.judge import judge
    from checks.expectations.suites import suites

    import_module("checks.expectations.library")
    imported = time.perf_counter()
    suite = judge(path, {TABLE: suites()[TABLE]})[0]
    seconds = time.perf_counter() - imported
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "expectations": len(suite.verdicts),
        "failed": sum(not verdict.passed for verdict in suite.verdicts),
        "seconds": round(seconds, 2),
        "import_seconds": round(imported - began, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    """Make the table, judge it in a child, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.judge:
        print(json.dumps(judged(given.judge)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), given.rows)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.expectations", "--judge", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    found = {"rows": given.rows, **json.loads(done.stdout.splitlines()[-1])}
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {value:>14,}")
    met = found["seconds"] < TARGET_S and found["peak_mb"] < TARGET_MB
    print(f"target           < {TARGET_S:g} s, < {TARGET_MB:,} MB: {'met' if met else 'missed'}")


if __name__ == "__main__":
    main()
