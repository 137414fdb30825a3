"""Airflow on one machine: LocalExecutor, set up by environment variables alone.

Four processes (api-server, scheduler, dag-processor, triggerer), each a child of `processes`.
The home is `<local>/airflow`; the interface listens on 127.0.0.1 only. What they are told is in
`airflow_env`, and where their database lies in `airflow_database`.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ticklake.services import airflow_database, processes
from ticklake.services.airflow_api import AirflowApi
from ticklake.services.airflow_env import (
    HOST,
    REPO,
    LogIn,
    command,
    environment,
    home,
    log_in,
    port,
)
from ticklake.services.broker import is_port_taken
from ticklake.services.processes import Child, ServiceError

if TYPE_CHECKING:
    from lake.settings import Settings

__all__ = ["api", "home", "log_in", "run_cli", "start", "stop", "wait_dags", "wait_healthy"]

POOLS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "airflow_pools.json").read_text(encoding="utf-8")
)
"""Name -> slots and description, in the form of `airflow pools import`, for containers too."""

SCHEDULER = "airflow-scheduler"
COMPONENTS = {
    # Serving logs over HTTP is for workers elsewhere; it would listen on all interfaces.
    SCHEDULER: ("scheduler", "--skip-serve-logs"),
    "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
    "airflow-dag-processor": ("dag-processor",),
    "airflow-api-server": ("api-server",),
}
"""Name of the child -> Airflow's command."""

Progress = Callable[[str], None]


def run_cli(
    settings: "Settings", *arguments: str, timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Airflow's own command line against this installation, e.g. "backfill", "create", ...

    Prepared so that standard output holds the answer and no log lines. Never raises on a failed
    command: look at `returncode`.
    """
    return subprocess.run(
        command(*arguments),
        env={**environment(settings), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def api(settings: "Settings") -> AirflowApi:
    """A client logged in as the desk."""
    access = log_in(settings)
    return AirflowApi(access.url, access.user, access.password)


def start(settings: "Settings", progress: Progress | None = None) -> LogIn:
    """Start what does not run, and wait until all of it is healthy and the DAGs are read.

    Raises ServiceError, with the end of the log, when a component dies or stays unhealthy.
    """
    say = progress or (lambda _: None)
    run_dir = _run_dir(settings)
    env = environment(settings)
    access = log_in(settings)
    since = datetime.now(UTC)
    if processes.find(run_dir, "airflow-api-server") is None and is_port_taken(HOST, port()):
        raise ServiceError(
            f"{HOST}:{port()} is taken by another program; stop it or set TICKLAKE_AIRFLOW_PORT"
        )
    airflow_database.migrate(home(settings), command(), env, say, cwd=REPO)
    say("starting Airflow")
    fresh: list[Child] = []
    for name, arguments in COMPONENTS.items():
        if processes.find(run_dir, name) is None:
            started = airflow_database.kept(command(*arguments))
            fresh.append(processes.start(run_dir, name, started, env=env, cwd=REPO))
    with api(settings) as client:
        wait_healthy(settings, client, since if fresh else None)
        for name, pool in POOLS.items():
            client.put_pool(name, pool["slots"], pool["description"])
        say("reading the DAGs")
        wait_dags(client, since if fresh else None)
    return access


def stop(settings: "Settings") -> bool:
    """Stop all four, tasks included. Returns whether any ran."""
    run_dir = _run_dir(settings)
    # The scheduler first, with its tasks, while there is a server to be told how they ended.
    stopped = [processes.stop(run_dir, SCHEDULER, grace_s=10.0)]
    with ThreadPoolExecutor() as threads:
        others = [name for name in COMPONENTS if name != SCHEDULER]
        stopped += threads.map(lambda name: processes.stop(run_dir, name), others)
    return any(stopped)


def wait_healthy(
    settings: "Settings",
    client: AirflowApi,
    since: datetime | None = None,
    *,
    timeout_s: float = 180.0,
) -> None:
    """Wait until database, scheduler, triggerer and dag-processor are healthy.

    A heartbeat counts from `since` on: for half a minute the database calls a scheduler healthy
    that was just killed. Raises ServiceError with the log of a component that died.
    """
    deadline = time.monotonic() + timeout_s
    told: dict[str, str] = {}
    while time.monotonic() < deadline:
        _refuse_the_dead(settings)
        try:
            told = client.health()
        except httpx.HTTPError:
            told = {}
        if told and set(told.values()) == {"healthy"}:
            beats = client.heartbeats()
            if since is None or all(beat >= since for beat in beats.values()):
                return
        time.sleep(0.25)
    raise ServiceError(f"Airflow is not healthy after {timeout_s:.0f} s: {told or 'no answer'}")


def flow_names() -> set[str]:
    """The flows that Airflow is to find: all files of dags/, but for one that is switched off."""
    found = {path.stem for path in (REPO / "dags").glob("*.py")}
    return found if os.environ.get("TICKLAKE_POSTGRES") else found - {"publish_postgres"}


def wait_dags(
    client: AirflowApi, since: datetime | None = None, *, timeout_s: float = 60.0
) -> None:
    """Wait until every flow of `flow_names` was read from `since` on.

    Raises ServiceError when one does not import.
    """
    expected = flow_names()
    deadline = time.monotonic() + timeout_s
    missing = expected
    while time.monotonic() < deadline:
        errors = client.import_errors()
        known = client.dags()
        missing = expected - {name for name, dag in known.items() if _is_read(dag, since)}
        if not missing:
            return
        if errors:
            file, trace = next(iter(errors.items()))
            raise ServiceError(f"{file} does not import in Airflow:\n{trace}")
        time.sleep(0.25)
    raise ServiceError(
        f"Airflow has not read the DAGs {sorted(missing)}; see its dag-processor log"
    )


def _is_read(dag: dict[str, object], since: datetime | None) -> bool:
    parsed = dag.get("last_parsed_time")
    if dag.get("is_stale") or not isinstance(parsed, str):
        return False
    return since is None or datetime.fromisoformat(parsed) >= since


def _refuse_the_dead(settings: "Settings") -> None:
    run_dir = _run_dir(settings)
    for name in COMPONENTS:
        if processes.find(run_dir, name) is None:
            tail = processes.log_tail(Child(name, 0, 0.0, (), run_dir / f"{name}.log"))
            raise ServiceError(f"{name} ended; the end of its log:\n{tail}")


def _run_dir(settings: "Settings") -> Path:
    return settings.local / "run"
