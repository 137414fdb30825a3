"""What `dbt build` costs: beside its own SQL run directly, for one late hour, and for a full day.

    python -m benchmarks.build [--full] [--keep FOLDER] [--only beside|hour|day]

CPU seconds are those of the process and its threads, user and system together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lake.layout import layout
from lake.settings import PROJECT, load_settings

BIN = Path(sys.executable).parent
MEMORY = "4GB"
OVERHEAD, HOUR_RATIO, DAY_SECONDS, PEAK_GB = 1.25, 1.2, 180.0, 6.0
# Sizes of the three lakes: what the targets speak of, and a tenth of it.
SIZES = {
    False: {"beside": ("1M", "500k", "100k"), "day": ("100k", "120k", "1M"), "hour": (30, "30k")},
    True: {"beside": ("10M", "5M", "1M"), "day": ("1M", "1.2M", "10M"), "hour": (30, "300k")},
}


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds by the clock, CPU seconds, and its largest memory in GB."""

    seconds: float
    cpu: float
    peak_gb: float


def run(*command: str, **environment: str) -> Cost:
    """Run a command of this project to its end. If it fails: RuntimeError with what it said."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            command,
            cwd=PROJECT / "dbt" if command[0].endswith("dbt") else PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise RuntimeError(f"{' '.join(command)}:\n{told.read()[-4_000:]}")
    cpu = used.ru_utime + used.ru_stime
    return Cost(time.perf_counter() - started, cpu, used.ru_maxrss / 1024**2)


def generate(lake: Path, trades: str, quotes: str, securities: str, *more: str) -> None:
    """Put a generated market into bronze, trades, quotes and securities only."""
    if (lake / "bronze").exists():
        return
    sizes = ("--trades", trades, "--quotes", quotes, "--securities", securities)
    run(str(BIN / "ticklake"), "generate", "--to", "bronze", *sizes, *more, LAKE_URI=str(lake))


def dbt(lake: Path, *arguments: str, **environment: str) -> Cost:
    """Run dbt over a lake as a person in dbt/ would."""
    folders = ("--target-path", str(lake / "target"), "--log-path", str(lake / "target"))
    environment = {"LAKE_URI": str(lake), "TICKLAKE_BUILD_MEMORY": MEMORY, **environment}
    return run(str(BIN / "dbt"), *arguments, *folders, **environment)


def results(lake: Path) -> list[dict[str, Any]]:
    """What the last dbt run did, in the order in which it ended."""
    found = json.loads((lake / "target" / "run_results.json").read_text())["results"]
    return sorted(found, key=lambda r: r["timing"][-1]["completed_at"] if r["timing"] else "")


def publication(lake: Path) -> float:
    """CPU seconds that the last build spent on publishing."""
    builds = sorted(
        (layout(load_settings({"LAKE_URI": str(lake)})).local / "run" / "builds").iterdir()
    )
    return float(json.loads(builds[-1].read_text())["cpu_seconds"])


def beside(lake: Path) -> dict[str, Any]:
    """A first build, and the same statements in a DuckDB of their own."""
    built = dbt(lake, "build")
    published = publication(lake)
    statements = lake / "statements.json"
    manifest = json.loads((lake / "target" / "manifest.json").read_text())
    kinds = {name: node["config"]["materialized"] for name, node in manifest["nodes"].items()}
    statements.write_text(
        json.dumps(
            [
                (r["unique_id"], kinds[r["unique_id"]], r["relation_name"], r["compiled_code"])
                for r in results(lake)
                if r["compiled_code"] and r["unique_id"].split(".")[0] in ("model", "test")
            ]
        )
    )
    local = lake / "direct"
    dbt(lake, "seed", LAKE_LOCAL=str(local))
    direct = run(
        sys.executable, "-m", "benchmarks.build", "--direct", str(statements),
        LAKE_URI=str(lake), LAKE_LOCAL=str(local), TICKLAKE_BUILD_MEMORY=MEMORY,
    )  # fmt: skip
    costs = json.loads(statements.with_suffix(".costs").read_text())
    return {"built": built, "published": published, "direct": direct, "costs": costs}


def directly(statements: Path) -> None:
    """The child's part: a dbt build's statements without dbt; what each cost is put beside."""
    import duckdb

    from lake import average_cost, scoring
    from lake.session import Session

    session = Session(load_settings())
    with duckdb.connect(str(session.layout.warehouse)) as conn:
        for name, value in {
            "TimeZone": "UTC", "memory_limit": session.settings.build_memory,
            "threads": session.settings.build_threads, "preserve_insertion_order": False,
            "disabled_optimizers": "top_n_window_elimination",
        }.items():  # fmt: skip
            conn.execute(f"set {name} = '{value}'")
        scoring.register(conn)
        average_cost.register(conn)
        session.open(conn)
        session.begin(conn)
        for schema in ("staging", "silver", "gold", "audit"):
            conn.execute(f"create schema if not exists {schema}")
        costs = {}
        for name, kind, relation, sql in json.loads(statements.read_text()):
            started = time.process_time()
            if kind == "test":
                conn.execute(f"select count(*) from ({sql}) as t").fetchall()
            else:
                conn.execute(f"create {'view' if kind == 'view' else 'table'} {relation} as {sql}")
            costs[name] = time.process_time() - started
    statements.with_suffix(".costs").write_text(json.dumps(costs))


def one_hour(folder: Path, days: int, trades: str) -> dict[str, Any]:
    """One late trade in a history of one day and of `days`: what each build took."""
    found = {}
    for count in (1, days):
        lake = folder / f"{count}-days"
        size = f"{int(trades.removesuffix('k')) * count}k"
        generate(lake, size, size, "2000", "--days", str(count))
        dbt(lake, "build")
        land_late(lake)
        cost = dbt(lake, "build")
        models = {
            r["unique_id"].split(".")[-1]: r["execution_time"]
            for r in results(lake)
            if r["unique_id"].startswith("model.")
        }
        found[count] = {"cost": cost, "published": publication(lake), "models": models}
    return found


def land_late(lake: Path) -> None:
    """One more trade of the last day, in the middle of its session."""
    import duckdb

    from ingestion.land import land_file

    settings = load_settings({"LAKE_URI": str(lake)})
    with duckdb.connect(str(layout(settings).lakehouse), read_only=True) as conn:
        ((instrument, at, price),) = conn.execute(
            "select instrument_id, max(session_date) + interval 18 hour, any_value(price) "
            "from silver.trades where session_date = (select max(session_date) from silver.trades) "
            "group by 1 order by count(*) desc limit 1"
        ).fetchall()
    record = {
        "tradeId": "late", "instrumentId": instrument, "price": str(price), "quantity": 100,
        "timestamp": f"{at.isoformat()}Z", "buySellIndicator": "B",
    }  # fmt: skip
    path = lake / "trades-late.jsonl"
    path.write_text(json.dumps(record))
    land_file(settings, path, "json_trades")


def shown(name: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table."""
    table = Table(title=name)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def show_beside(found: dict[str, Any]) -> None:
    """Overhead and memory."""
    built, direct, published = found["built"], found["direct"], found["published"]
    ratio = (built.cpu - published) / direct.cpu
    shown("dbt build beside its own SQL", ("", "seconds", "CPU s", "peak GB"), [
        ("dbt build", f"{built.seconds:.1f}", f"{built.cpu:.1f}", f"{built.peak_gb:.2f}"),
        ("of it publishing", "", f"{published:.1f}", ""),
        ("the same SQL in DuckDB",
         f"{direct.seconds:.1f}", f"{direct.cpu:.1f}", f"{direct.peak_gb:.2f}"),
        (f"ratio without publishing (target {OVERHEAD})", "", f"{ratio:.2f}", ""),
        (f"memory limit {MEMORY} (target {PEAK_GB:g} GB)", "", "", f"{built.peak_gb:.2f}"),
    ])  # fmt: skip
    costs = sorted(found["costs"].items(), key=lambda cost: -cost[1])[:15]
    rows = [(name.split(".")[2], f"{cpu:.1f}") for name, cpu in costs]
    shown("where the time goes", ("model or test", "CPU s"), rows)


def show_hour(found: dict[int, dict[str, Any]]) -> None:
    """One late hour in a short and in a long history."""
    short, long = (found[count] for count in sorted(found))
    ratio = long["cost"].cpu / short["cost"].cpu
    rows = [
        ("dbt build, CPU s", f"{short['cost'].cpu:.2f}", f"{long['cost'].cpu:.2f}", f"{ratio:.2f}")
    ]
    rows.append(("of it publishing", f"{short['published']:.2f}", f"{long['published']:.2f}", ""))
    slow = sorted(long["models"], key=lambda name: -long["models"][name])[:15]
    for name in slow:
        a, b = short["models"].get(name, 0.0), long["models"][name]
        rows.append((name, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}" if a else ""))
    title = f"one late trade: in 1 day and in {max(found)} days (target {HOUR_RATIO})"
    shown(title, ("", "1 day", f"{max(found)} days", "ratio"), rows)


def show_day(cost: Cost) -> None:
    """A whole day from bronze to published gold."""
    title = f"the full generator, bronze to published gold (target {DAY_SECONDS:.0f} s)"
    row = ("dbt build", f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak_gb:.2f}")
    shown(title, ("", "seconds", "CPU s", "peak GB"), [row])


def main() -> None:
    """Make the lakes, run what is asked for, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes that the targets speak of")
    parser.add_argument("--keep", type=Path, help="folder for the lakes, kept and used again")
    parser.add_argument("--only", choices=["beside", "hour", "day"])
    parser.add_argument("--direct", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.direct:
        directly(given.direct)
        return
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as scratch:
        folder = given.keep or Path(scratch)
        sizes = SIZES[given.full]
        if given.only in (None, "beside"):
            generate(folder / "beside", *sizes["beside"])
            show_beside(beside(folder / "beside"))
        if given.only in (None, "day"):
            generate(folder / "day", *sizes["day"])
            show_day(dbt(folder / "day", "build"))
        if given.only in (None, "hour"):
            show_hour(one_hour(folder / "hour", *sizes["hour"]))


if __name__ == "__main__":
    main()
