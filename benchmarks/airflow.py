"""What a round costs: as an Airflow run and from the resident processes, with and without news.

    python -m benchmarks.airflow [--rows 100000] [--history 200000] [--rounds 3] [--core] [--json]

Airflow is the embedded one, on free ports, with a lake and a broker of its own in a temporary
folder. Times of runs and tasks are Airflow's own (queued, start, end).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.build import shown
from benchmarks.report import at_most, targets_table
from benchmarks.topic import free_port
from benchmarks.worker import Job
from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from ingestion.land import land_generated
from ingestion.produce import produce
from lake import records
from lake.build import build
from lake.layout import layout
from lake.settings import PROJECT, Settings, load_settings
from ticklake.services import airflow, stack
from ticklake.services.airflow_api import AirflowApi
from ticklake.services.airflow_env import BY_THE_CLOCK

DAYS = (date(2025, 10, 1), date(2025, 10, 2), date(2025, 10, 3))  # history, and news twice
WARM = Plan(days=(date(2025, 10, 6),), quotes=500, trades=500, securities=2_000)
AIRFLOW_S, RESIDENT_S, PARSE_S = 45.0, 15.0, 2.0
PUBLISHED_WITHIN_S = 600.0
REST_S = 30.0
PARSE = """
import json, time
from airflow.dag_processing.dagbag import DagBag
began = time.perf_counter()
bag = DagBag("dags")
seconds = time.perf_counter() - began
assert bag.dags and not bag.import_errors, bag.import_errors
print("\\n" + json.dumps({"seconds": seconds, "dags": len(bag.dags)}))
"""


def parse(folder: Path, times: int = 3) -> Job:
    """Seconds that a fresh process takes to read all DAGs, Airflow's own import not counted."""
    environment = {**os.environ, "AIRFLOW_HOME": str(folder), "PYTHONPATH": str(PROJECT)}
    environment["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    found = []
    for _ in range(times):
        told = subprocess.run(
            [sys.executable, "-c", PARSE],
            cwd=PROJECT, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found.append(json.loads(told.splitlines()[-1]))
    return min(found, key=lambda run: run["seconds"])


def flow(client: AirflowApi, settings: Settings, expected: int) -> Job:
    """A run of `live`: seconds from its trigger to its first task, to its end, and to what it was
    to publish (`expected` records read); of its tasks those that they wait and that they run."""
    began = datetime.now(UTC)
    run_id = client.trigger("live")
    (run,) = client.wait("live", [run_id])
    if run.state != "success" or run.ended is None:
        raise RuntimeError(f"live {run_id}: {run.state}; see {airflow.home(settings) / 'logs'}")
    tasks = sorted(client.tasks("live", run_id), key=lambda task: str(task.started))
    waits, before = {}, began
    for task in tasks:
        assert task.started is not None and task.ended is not None
        waits[task.task_id] = (task.started - before).total_seconds()
        before = task.ended
    published = published_at(settings, expected)
    return {
        "first_task_s": waits[tasks[0].task_id],
        "waits_s": waits,
        "tasks_s": {task.task_id: task.seconds for task in tasks},
        "published_s": (published - began).total_seconds() if published > began else None,
        "seconds": (run.ended - began).total_seconds(),
    }


def published_at(settings: Settings, expected: int) -> datetime:
    """When a publication that read so many Kafka records was made; waits for it."""
    deadline = time.monotonic() + PUBLISHED_WITHIN_S
    while time.monotonic() < deadline:
        record = records.current(layout(settings))
        if record is not None and _read(record) >= expected:
            return datetime.fromisoformat(record.published_at)
        time.sleep(0.05)
    raise RuntimeError(f"{expected:,} records are not published after {PUBLISHED_WITHIN_S:.0f} s")


def _read(record: records.Record) -> int:
    places = [facts["positions"] for facts in record.read.values()]
    return sum(at for one in places for unit, at in one.items() if unit.startswith("kafka:"))


def send(settings: Settings, plan: Plan, day: date) -> int:
    """A day's quotes and trades to the broker; how many."""
    sent = 0
    for dataset in ("quotes", "trades"):
        made = stream(plan, dataset, day)
        topic = registry.get(dataset).topic
        produce(settings, topic, made.keys, made.values, made.recv_ts_ms.tolist())
        sent += len(made.values)
    return sent


def resident(settings: Settings, plan: Plan, sent: int) -> Job:
    """`ingest --follow` and `build --follow` side by side, at rest after a few records: from the
    first record handed to the broker, and from the last one that it took, to all published."""
    with _running("ingest", "--follow"), _running("build", "--follow", "--every", "1"):
        sent += send(settings, WARM, WARM.days[0])
        published_at(settings, sent)
        time.sleep(REST_S)  # what the speed layer stores of them is news once more
        began = datetime.now(UTC)
        sent += send(settings, plan, DAYS[2])
        handed = datetime.now(UTC)
        published = published_at(settings, sent)
    return {
        "from_first_s": (published - began).total_seconds(),
        "from_last_s": (published - handed).total_seconds(),
    }


@contextmanager
def _running(*arguments: str) -> Iterator[None]:
    command = subprocess.Popen(
        [sys.executable, "-m", "ticklake.cli", *arguments],
        cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        command.terminate()
        command.wait()


def measure(folder: Path, rows: int, history: int, rounds: int) -> Job:
    """Everything, over one lake."""
    settings = load_settings()
    plan = Plan(days=DAYS[:1], quotes=history // 2, trades=history // 2, securities=2_000)
    news = Plan(days=DAYS[1:], quotes=rows, trades=rows, securities=2_000)  # for each of two days
    for dataset in ("securities", "quotes", "trades"):
        land_generated(settings, dataset, plan, DAYS[0])
    build(settings)
    found: Job = {"parse": parse(folder / "parsed")}
    stack.up(settings)
    try:
        with airflow.api(settings) as client:
            flow(client, settings, 0)  # what is done once, as to parse the project
            found["nothing"] = [flow(client, settings, 0) for _ in range(rounds)]
            sent = send(settings, news, DAYS[1])
            found["news"] = {**flow(client, settings, sent), "rows": sent}
        airflow.stop(settings)
        found["resident"] = resident(settings, news, sent)
    finally:
        stack.down(settings)
    return found


def judged(found: Job) -> list[Job]:
    """The targets."""
    rows, dags = f"{found['news']['rows']:,} rows", f"{found['parse']['dags']} DAGs"
    flow_s, resident_s = found["news"]["published_s"], found["resident"]["from_first_s"]
    parse_s = found["parse"]["seconds"]
    return [
        at_most("live, trigger to published, s", AIRFLOW_S, flow_s, rows, ".1f"),
        at_most("resident, first sent to published, s", RESIDENT_S, resident_s, rows, ".1f"),
        at_most("parsing all DAGs, s", PARSE_S, parse_s, dags, ".2f"),
    ]


def show_runs(found: Job) -> None:
    """Print runs of live, task by task."""
    rows = []
    runs = {"nothing to do, median": _median(found["nothing"]), "with news": found["news"]}
    for name, run in runs.items():
        tasks, waits = run["tasks_s"], run["waits_s"]
        figures = [run["first_task_s"], tasks["land"], waits["build"], tasks["build"]]
        figures += [waits["reconcile"], tasks["reconcile"], run["seconds"]]
        rows.append((name, *(f"{figure:.1f}" for figure in figures)))
    shown(
        "runs of live, seconds; wait: from the end of a task to the start of the next",
        ("", "to first task", "land", "wait", "build", "wait", "reconcile", "whole"),
        rows,
    )


def _median(runs: list[Job]) -> Job:
    middle = statistics.median_low([run["seconds"] for run in runs])
    return next(run for run in runs if run["seconds"] == middle)


def main() -> None:
    """Measure, and print what was found."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    asked.add_argument("--rows", type=int, default=100_000, help="of news")
    asked.add_argument("--history", type=int, default=200_000, help="rows that stand there before")
    asked.add_argument("--rounds", type=int, default=3, help="runs with nothing to do")
    asked.add_argument("--core", action="store_true", help="without what only analysts look at")
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {
            "LAKE_URI": f"{name}/lake",
            "TICKLAKE_MODELS": "core" if given.core else "all",
            "TICKLAKE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
            "TICKLAKE_AIRFLOW_PORT": str(free_port()),
            BY_THE_CLOCK: "False",
        }
        found = {"load": load, **measure(Path(name), given.rows, given.history, given.rounds)}
    if given.json:
        print(json.dumps(found, indent=1))
        return
    show_runs(found)
    console = Console(width=140)
    console.print(targets_table(judged(found)))
    console.print(f"load before: {load:.1f}")


if __name__ == "__main__":
    main()
