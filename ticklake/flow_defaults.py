"""What every DAG has in common, said once; a file in dags/ says only what is its own.

Read by Airflow each time it parses a DAG, so nothing heavy is imported here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ticklake.failures import callbacks

OWNER = "market-data"
RETRIES = 3

# Early enough for any backfill: a run before it ends green without having done anything.
START = datetime(2010, 1, 1, tzinfo=UTC)


def flow_defaults(
    flow: str,
    *,
    run_timeout: timedelta,
    retry_delay: timedelta = timedelta(seconds=15),
    max_retry_delay: timedelta = timedelta(minutes=5),
    max_active_runs: int = 1,
    priority_weight: int | None = None,
    late_after: timedelta | None = None,
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments for `@dag` of the flow of this name; schedule, params and docs are its own.

    A task is tried `RETRIES` times again: after `retry_delay`, then twice as long each time, up
    to `max_retry_delay`. A run still going after `run_timeout` is failed. `priority_weight` is
    its tasks' place in the queue of every pool, whatever comes after them; None: Airflow's rule,
    a task weighs as many as the tasks that wait for it. A run that is not done `late_after` it
    was first queued is noted as late, and goes on. Every failure leaves a note: docs/failures.md.
    """
    tasks: dict[str, Any] = {
        "owner": OWNER,
        "retries": RETRIES,
        "retry_delay": retry_delay,
        "retry_exponential_backoff": 2,
        "max_retry_delay": max_retry_delay,
        "on_failure_callback": callbacks.task_failed,
        "on_success_callback": callbacks.task_succeeded,
    }
    if priority_weight is not None:
        tasks |= {"priority_weight": priority_weight, "weight_rule": "absolute"}
    return {
        "dag_id": flow,
        "start_date": START,
        "catchup": False,
        "max_active_runs": max_active_runs,
        "dagrun_timeout": run_timeout,
        "is_paused_upon_creation": False,
        "tags": [flow, *tags, OWNER],
        "on_failure_callback": callbacks.run_failed,
        "deadline": None if late_after is None else _deadline(late_after),
        "default_args": tasks,
    }


def _deadline(late_after: timedelta) -> Any:
    from airflow.configuration import conf
    from airflow.sdk.definitions.callback import SyncCallback
    from airflow.sdk.definitions.deadline import DeadlineAlert

    from ticklake.flow_deadline import QueuedAt

    if not Path(conf.get_mandatory_value("core", "plugins_folder"), "deadlines.py").exists():
        return None  # an Airflow without our plugins could make no run of a flow that has one
    return DeadlineAlert(QueuedAt(), late_after, SyncCallback(callbacks.run_late))
