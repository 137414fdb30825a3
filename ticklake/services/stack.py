"""Everything that runs beside the lake on one machine: up, down, status."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.services import airflow, broker, kafka, processes
from ticklake.services.airflow import Progress
from ticklake.services.airflow_env import LogIn
from ticklake.services.processes import ServiceError

if TYPE_CHECKING:
    from lake.settings import Settings


@dataclass(frozen=True, slots=True)
class Status:
    """One service. `memory_mb` and `seconds` (since its start) are None where it does not run."""

    name: str
    running: bool
    pid: int | None
    memory_mb: float | None
    seconds: float | None
    log: Path


def up(settings: "Settings", progress: Progress | None = None) -> LogIn:
    """Start the embedded broker, where the settings want one, and Airflow; return the log-in.

    What runs is left as it is. Raises ServiceError saying what is in the way; what was started
    until then keeps running, and `down` stops it.
    """
    say = progress or (lambda _: None)
    with _alone(settings):
        if broker.is_embedded(settings):
            say("starting the broker")
            broker.start(settings)
        return airflow.start(settings, say)


def down(settings: "Settings", progress: Progress | None = None) -> bool:
    """Stop Airflow with its tasks, then the brokers. Returns whether anything ran."""
    say = progress or (lambda _: None)
    with _alone(settings):
        say("stopping Airflow")
        stopped = airflow.stop(settings)
        say("stopping the broker")
        stopped = kafka.stop(settings) or stopped
        return broker.stop(settings) or stopped


def status(settings: "Settings") -> list[Status]:
    """Every service there can be, whether it runs or not."""
    run_dir = _run_dir(settings)
    names = [broker.NAME] if broker.is_embedded(settings) else []
    if processes.find(run_dir, kafka.NAME):
        names = [kafka.NAME]  # it has the embedded one's place
    return [_status(run_dir, name) for name in [*names, *airflow.COMPONENTS]]


def _status(run_dir: Path, name: str) -> Status:
    child = processes.find(run_dir, name)
    if child is None:
        return Status(name, False, None, None, None, run_dir / f"{name}.log")
    age = time.time() - child.started
    return Status(name, True, child.pid, processes.memory_mb(child), age, child.log)


@contextmanager
def _alone(settings: "Settings") -> Iterator[None]:
    """One `up` or `down` at a time: two of them would leave two schedulers on one database."""
    from lake.layout import layout
    from lake.locks import Busy, held

    try:
        with held(layout(settings).lock("services")):
            yield
    except Busy as busy:
        raise ServiceError(f"another `up` or `down` is at work: {busy}") from busy


def _run_dir(settings: "Settings") -> Path:
    return settings.local / "run"
