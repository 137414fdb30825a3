"""An Airflow of a test's own, with a broker and a lake: the real thing, on free ports."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from ingestion.produce import produce
from lake.settings import Settings, load_settings
from tests.desk import Desk
from tests.embedded_broker import free_port
from ticklake.services import stack
from ticklake.services.airflow_api import AirflowApi, Run


@contextmanager
def own_airflow(lake: Path, **environment: str) -> Iterator[Settings]:
    """Settings of a lake at `lake`, with Airflow and the broker up beside it until the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKE_URI", str(lake))
        for name in ("LAKE_LOCAL", "TICKLAKE_INBOX", "TICKLAKE_AIRFLOW_PASSWORD"):
            patch.delenv(name, raising=False)
        patch.setenv("TICKLAKE_KAFKA_BOOTSTRAP", f"127.0.0.1:{free_port()}")
        patch.setenv("TICKLAKE_AIRFLOW_PORT", str(free_port()))
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
        try:
            stack.up(settings)
            yield settings
        finally:
            stack.down(settings)


def send(settings: Settings, plan: Plan, days: Sequence[date]) -> None:
    """Produce the quotes and trades of these days, as a desk's feeds would."""
    for day in days:
        for dataset in ("quotes", "trades"):
            made = stream(plan, dataset, day)
            topic = registry.get(dataset).topic
            produce(settings, topic, made.keys, made.values, made.recv_ts_ms.tolist())


def built_at_once(settings: Settings, folder: Path) -> Any:
    """Fingerprints of what a lake makes that has the same bronze and was built once."""
    for part in ("bronze", "ledger"):
        shutil.copytree(settings.root / part, folder / "lake" / part)
    clean = Desk(folder / "lake", folder / "target")
    clean.build()
    return clean.fingerprints()


def wait_backfilled(client: AirflowApi, number: int, seconds: float = 900) -> list[Run]:
    """Wait until a backfill and its runs have ended; the DAG's backfill runs."""
    deadline = time.monotonic() + seconds
    while True:
        runs = client.runs("day", "backfill")
        if client.is_backfilled(number) and {r.state for r in runs} <= {"success", "failed"}:
            return runs
        assert time.monotonic() < deadline, runs
        time.sleep(0.5)


def wait_task(
    client: AirflowApi, dag_id: str, run_id: str, task_id: str, seconds: float = 300
) -> int:
    """Wait until a task runs; the process it runs in."""
    deadline = time.monotonic() + seconds
    while True:
        (task,) = [t for t in client.tasks(dag_id, run_id) if t.task_id == task_id] or [None]
        if task is not None and task.state == "running" and task.pid:
            return task.pid
        assert task is None or task.state not in {"success", "failed"}, task
        assert time.monotonic() < deadline, task
        time.sleep(0.1)
