"""What Airflow calls when a task or run fails, is late, or is well again.

| who calls | where | when |
|---|---|---|
| `task_failed` | the task's process | its last try raised an error |
| `task_failed` | the DAG processor | its heartbeat stopped, supervisor and all |
| `run_failed` | the DAG processor | the run is red; a killed task cannot say so itself |
| `run_late` | a process of the executor | the run's deadline has passed and it is not done |
| `task_succeeded` | the task's process | it is done |

None of them raises: a note that cannot be delivered is a line in the log. Nothing heavy is
imported before one is called.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticklake.failures import task_log
from ticklake.failures.rules import BY_REASON, UNKNOWN, Rule, rule_of

if TYPE_CHECKING:
    from lake.failures import Failure, Kind
    from lake.settings import Settings

# The settings that say where to write to: where all of them together are wrong, these may do.
_PLACES = (("LAKE_URI", "LAKE_LOCAL", "TICKLAKE_ALERT_WEBHOOK"), ("LAKE_URI", "LAKE_LOCAL"))

log = logging.getLogger("ticklake.failures")


def task_failed(context: Mapping[str, Any]) -> None:
    """Note that a task failed for good. `context` is Airflow's."""
    try:
        is_dead = context.get("exception") is None
        _tell(_of_task(context), also_in=task_log.path(context["ti"]) if is_dead else None)
    except Exception:
        log.exception("the failure could not be noted")


def run_failed(context: Mapping[str, Any]) -> None:
    """Note why a run failed, unless its task has said so."""
    try:
        reason = str(context.get("reason") or "")
        if reason not in BY_REASON and context.get("ti") is not None:
            _tell(_of_task(context), is_second=True, also_in=task_log.path(context["ti"]))
        else:
            _tell(_of_run(context, reason))
    except Exception:
        log.exception("the failure could not be noted")


def run_late(context: Mapping[str, Any]) -> None:
    """Note that a run is late, if it is under way still: one that failed was noted as failed.

    Runs of a backfill wait for each other, however long it is: they are never late.
    """
    try:
        run = context["dag_run"]
        if run["state"] in ("queued", "running") and run["run_type"] != "backfill":
            _tell(_of_deadline(run, context["deadline"]))
    except Exception:
        log.exception("the delay could not be noted")


def task_succeeded(context: Mapping[str, Any]) -> None:
    """Settle the failures of the task before, if there are any."""
    try:
        _settle(context)
    except Exception:
        log.exception("the failures before could not be settled")


def _tell(failure: "Failure", *, is_second: bool = False, also_in: Path | None = None) -> None:
    """Log, keep and send a note, and write it to the log of the task that could not.

    `is_second`: somebody else may have told it before. Where the table cannot be written, the
    first still sends; a second does not, as nobody knows.
    """
    from ticklake.failures.note import text

    settings = _settings()
    if not is_second:
        log.error("\n%s", text(failure))
    is_new = not is_second
    try:
        if settings is not None:
            is_new = _keep(settings, failure)
    except Exception as error:
        log.warning("the note is not in ledger.failures: %s: %s", type(error).__name__, error)
    if not is_new:
        return
    if is_second:
        log.error("\n%s", text(failure))
    if also_in is not None:
        task_log.append(also_in, failure.noted_at, text(failure))
    if settings is not None:
        _post(settings, failure)


def _keep(settings: "Settings", failure: "Failure") -> bool:
    from lake import failures_table
    from lake.layout import layout

    return failures_table.append(layout(settings), failure)


def _post(settings: "Settings", failure: "Failure") -> None:
    from ticklake.failures.webhook import NotDelivered, post

    try:
        post(settings, failure)
    except NotDelivered as error:
        log.warning("the note was not posted: %s", error)


def _settle(context: Mapping[str, Any]) -> None:
    from lake.layout import layout

    settings = _settings()
    if settings is None or not layout(settings).failures.exists():
        return  # nothing ever failed, and no package is loaded to find that out
    from lake import failures_table
    from lake.failures import settled

    done = [_row(context, "succeeded")]
    if not context["ti"].task.downstream_task_ids:  # the run's last task
        done.append(_row(context, "succeeded", of_run=True))
    before = failures_table.read(layout(settings))
    settling = {moment for _, moment in settled([*before, *done])}
    for row in done:
        if row.noted_at in settling:
            failures_table.append(layout(settings), row)


def _settings() -> "Settings | None":
    from lake.settings import SettingsError, load_settings

    with suppress(SettingsError):
        return load_settings()
    for names in _PLACES:
        with suppress(SettingsError):
            return load_settings({name: os.environ[name] for name in names if name in os.environ})
    log.warning("the note is in this log alone: the settings do not say where the lake is")
    return None


def _of_task(context: Mapping[str, Any]) -> "Failure":
    from lake.settings import secrets_in
    from ticklake.failures.note import words

    error = context.get("exception")
    if isinstance(error, str):
        error = RuntimeError(error)
    said = "the task's process ended and said nothing" if error is None else error
    return _row(context, "failed", rule_of(error), words(said, secrets_in(os.environ)))


def _of_run(context: Mapping[str, Any], reason: str) -> "Failure":
    ti, dag = context.get("ti"), context.get("dag")
    at = f"; it was at `{ti.task_id}`" if ti is not None else ""
    if reason == "timed_out":
        said = f"the run did not end within {getattr(dag, 'dagrun_timeout', None)}{at}"
    else:
        said = f"Airflow says: {reason or 'failed'}{at}"
    kind: Kind = "timed_out" if reason == "timed_out" else "failed"
    return _row(context, kind, BY_REASON.get(reason, UNKNOWN), said, of_run=True)


def _of_deadline(run: Mapping[str, Any], deadline: Mapping[str, Any]) -> "Failure":
    from lake.failures import Failure
    from ticklake.failures.note import filled, of_params

    flow, run_id = run["dag_id"], run.get("dag_run_id") or run["run_id"]
    since, due = _time(run["queued_at"]), _time(deadline["deadline_time"])
    url = _url(flow, run_id)
    return Failure(
        failure_id=f"{flow}/{run_id}/late/{deadline['id']}",
        noted_at=datetime.now(UTC),
        kind="late",
        flow=flow,
        task="",
        run_id=run_id,
        try_number=0,
        tries=0,
        interval_start=_time(run.get("data_interval_start")),
        interval_end=_time(run.get("data_interval_end")),
        params=of_params(run.get("conf")),
        error=f"the run is {run['state']}, queued {since:%H:%M:%S}, due {due:%H:%M:%S} UTC",
        log=url,
        **filled(BY_REASON["late"], **_known(flow, url)),
    )


def _row(
    context: Mapping[str, Any],
    kind: "Kind",
    rule: Rule | None = None,
    error: str = "",
    *,
    of_run: bool = False,
) -> "Failure":
    """A row about the task that the context is of, or about its run."""
    from lake.failures import Failure
    from ticklake.failures.note import filled, of_params

    ti, run = context.get("ti"), context.get("dag_run")
    flow = context["dag"].dag_id
    run_id = context["run_id"]
    if ti is None or of_run:
        task, number, tries, of = "", 0, 0, str(getattr(run, "clear_number", 0))
        url = _url(flow, run_id)
    else:
        task, number, tries = ti.task_id, ti.try_number, (ti.max_tries or 0) + 1
        of = f"{task}/{ti.map_index}/{number}"
        url = ti.log_url
    return Failure(
        failure_id=f"{flow}/{run_id}/{kind}/{of}",
        noted_at=datetime.now(UTC),
        kind=kind,
        flow=flow,
        task=task,
        run_id=run_id,
        try_number=number,
        tries=tries,
        interval_start=_time(getattr(run, "data_interval_start", None)),
        interval_end=_time(getattr(run, "data_interval_end", None)),
        params=of_params(getattr(run, "conf", None)),
        error=error,
        log=url if rule else "",
        **(filled(rule, **_known(flow, url)) if rule else {}),
    )


def _url(flow: str, run_id: str) -> str:
    from urllib.parse import quote

    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{flow}/runs/{quote(run_id)}"


def _known(flow: str, log_url: str) -> dict[str, str]:
    """What the blanks in rules are filled with."""
    settings = _settings()
    return {
        "lake": "LAKE_URI" if settings is None else str(settings.root),
        "airflow": os.environ.get("AIRFLOW_HOME", "~/airflow"),
        "flow": flow,
        "log": log_url,
    }


def _time(moment: Any) -> datetime | None:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return None if moment is None else datetime.fromtimestamp(moment.timestamp(), UTC)
