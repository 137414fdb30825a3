"""Airflow's REST interface, as far as Ticklake uses it.

The command line of Airflow costs 4-10 s a call, this answers in milliseconds. Reads are tried
again while the server is away; a trigger may be tried again safely, since the run's id is chosen
here and the server takes each id once.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from ticklake.services.processes import ServiceError

FINAL_STATES = {"success", "failed"}
AWAY = {502, 503, 504}


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run. Times are UTC and None until known; `state` is Airflow's word for it."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    interval_start: datetime | None
    interval_end: datetime | None
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        """Duration in seconds, None while it runs."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a run. Times are UTC and None until known, as `seconds`; so is the process."""

    task_id: str
    state: str | None
    try_number: int
    seconds: float | None
    queued: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    pid: int | None = None


class AirflowApi:
    """A client that logs in by itself. Every method raises ServiceError when Airflow refuses."""

    def __init__(self, url: str, user: str, password: str, *, patience_s: float = 20.0) -> None:
        """`url` as in http://127.0.0.1:8080; `patience_s`: seconds to wait for an absent server."""
        self._http = httpx.Client(base_url=url, timeout=30.0)
        self._user, self._password = user, password
        self._patience_s = patience_s

    def __enter__(self) -> "AirflowApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> dict[str, str]:
        """Component -> its status ("healthy", "unhealthy", ...); needs no log-in, never retries.

        Raises httpx.HTTPError while the server is not there.
        """
        answer = self._http.get("/api/v2/monitor/health").raise_for_status()
        return {name: str((facts or {}).get("status")) for name, facts in answer.json().items()}

    def heartbeats(self) -> dict[str, datetime]:
        """Component -> the time of its last heartbeat, for those that have one."""
        found: dict[str, datetime] = {}
        for name, facts in self._call("GET", "/api/v2/monitor/health").items():
            beat = (facts or {}).get(f"latest_{name}_heartbeat")
            if beat:
                found[name] = _time(beat)
        return found

    def import_errors(self) -> dict[str, str]:
        """DAG file -> its traceback, for files that do not import."""
        listed = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in listed}

    def dags(self) -> dict[str, dict[str, Any]]:
        """DAG id -> what Airflow knows of it."""
        listed = self._call("GET", "/api/v2/dags", params={"limit": 100})["dags"]
        return {dag["dag_id"]: dag for dag in listed}

    def put_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool, or give an existing one this size."""
        size = {"slots": slots, "description": description, "include_deferred": False}
        made = self._send("POST", "/api/v2/pools", json={"name": name, **size})
        if made.status_code == 409:
            self._call("PATCH", f"/api/v2/pools/{name}", json={"pool": name, **size})
        elif made.is_error:
            raise _refusal(made)

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: datetime | None = None,
    ) -> str:
        """Start a run with these params and return its id. Raises ServiceError on a bad param."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run_id = f"manual__{now}_{uuid.uuid4().hex[:8]}"
        body = {
            "dag_run_id": run_id,
            "logical_date": None if logical_date is None else logical_date.isoformat(),
            "conf": dict(conf or {}),
        }
        answer = self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        if answer.is_error and answer.status_code != 409:  # 409: an earlier try arrived after all
            raise _refusal(answer)
        return run_id

    def backfill(
        self,
        dag_id: str,
        first: date,
        last: date,
        conf: Mapping[str, Any] | None = None,
        *,
        reprocess: str = "completed",
        max_active_runs: int = 4,
        backwards: bool = False,
    ) -> int:
        """Start a backfill of the days `first`..`last`, both included, and return its id.

        `reprocess`: what is done about days that have a run: "none", "failed" or "completed".
        `backwards`: the last day first. Raises ServiceError while another backfill of the DAG runs.
        """
        body = {
            "dag_id": dag_id,
            "from_date": f"{first.isoformat()}T00:00:00Z",
            "to_date": f"{last.isoformat()}T00:00:00Z",
            "dag_run_conf": dict(conf or {}),
            "reprocess_behavior": reprocess,
            "max_active_runs": max_active_runs,
            "run_backwards": backwards,
        }
        return int(self._call("POST", "/api/v2/backfills", json=body)["id"])

    def cancel_backfill(self, number: int) -> None:
        """Begin no more runs of a backfill; those that run go on."""
        self._call("PUT", f"/api/v2/backfills/{number}/cancel")

    def is_backfilled(self, number: int) -> bool:
        """Has the backfill ended, or been cancelled?"""
        return self._call("GET", f"/api/v2/backfills/{number}")["completed_at"] is not None

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str] = ()) -> None:
        """Forget how a run went, or these tasks and those after them: they are run again."""
        if not task_ids:
            path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear"
            self._call("POST", path, json={"dry_run": False, "only_failed": False})
            return
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def runs(self, dag_id: str, run_type: str | None = None) -> list[Run]:
        """The DAG's runs, the one due first in front; `run_type` as Airflow says: "backfill"."""
        params: dict[str, Any] = {"limit": 100, "order_by": "run_after", "offset": 0}
        if run_type is not None:
            params["run_type"] = run_type
        found: list[Run] = []
        while True:
            page = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=params)["dag_runs"]
            found += [_run(facts) for facts in page]
            if len(page) < 100:
                return found
            params["offset"] += 100

    def run(self, dag_id: str, run_id: str) -> Run:
        """One run, by its id."""
        return _run(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        """The tasks of a run."""
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        listed = self._call("GET", where)["task_instances"]
        return [_task(facts) for facts in listed]

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What the task returned, as plain data."""
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return self._call("GET", f"{where}/xcomEntries/return_value")["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """The log of a try, as the interface shows it, one event below the other."""
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        lines = self._call("GET", where, params={"full_content": True})["content"]
        return "\n".join(str(line["event"] if isinstance(line, dict) else line) for line in lines)

    def wait(self, dag_id: str, run_ids: Sequence[str], *, timeout_s: float = 600.0) -> list[Run]:
        """Wait until the runs have ended, well or not, and return them in the order asked.

        Raises ServiceError when one has not ended after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        done: dict[str, Run] = {}
        while True:
            for run_id in [i for i in run_ids if i not in done]:
                run = self.run(dag_id, run_id)
                if run.state in FINAL_STATES:
                    done[run_id] = run
            if len(done) == len(set(run_ids)):
                return [done[run_id] for run_id in run_ids]
            if time.monotonic() > deadline:
                waiting = sorted(set(run_ids) - set(done))
                raise ServiceError(f"{dag_id}: not ended after {timeout_s:.0f} s: {waiting}")
            time.sleep(0.5)

    def _call(self, method: str, path: str, **request: Any) -> Any:
        answer = self._send(method, path, **request)
        if answer.is_error:
            raise _refusal(answer)
        return answer.json()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send, logging in first where needed; waits out a server that is away."""
        retrying = Retrying(
            retry=retry_if_exception(_is_away),
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=0.2, max=3.0),
            reraise=True,
        )
        try:
            answer: httpx.Response = retrying(self._send_once, method, path, **request)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"Airflow at {self._http.base_url} does not answer ({error}); is it up?"
            ) from error
        return answer

    def _send_once(self, method: str, path: str, **request: Any) -> httpx.Response:
        if "authorization" not in self._http.headers:
            self._log_in()
        answer = self._http.request(method, path, **request)
        if answer.status_code == 401:  # the token is only good for a day
            self._log_in()
            answer = self._http.request(method, path, **request)
        if answer.status_code in AWAY:
            answer.raise_for_status()
        return answer

    def _log_in(self) -> None:
        self._http.headers.pop("authorization", None)
        body = {"username": self._user, "password": self._password}
        answer = self._http.post("/auth/token", json=body)
        if answer.status_code == 401:
            raise ServiceError(f"Airflow does not know the user {self._user} with that password")
        token = answer.raise_for_status().json()["access_token"]
        self._http.headers["authorization"] = f"Bearer {token}"


def _is_away(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in AWAY
    return isinstance(error, httpx.TransportError)


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        detail = answer.json().get("detail", answer.text)
    except ValueError:
        detail = answer.text
    where = f"{answer.request.method} {answer.request.url.path}"
    return ServiceError(f"Airflow refuses {where} ({answer.status_code}): {detail}")


def _run(facts: Mapping[str, Any]) -> Run:
    return Run(
        dag_id=facts["dag_id"],
        run_id=facts["dag_run_id"],
        state=facts["state"],
        run_type=facts["run_type"],
        interval_start=_maybe_time(facts["data_interval_start"]),
        interval_end=_maybe_time(facts["data_interval_end"]),
        started=_maybe_time(facts["start_date"]),
        ended=_maybe_time(facts["end_date"]),
    )


def _task(facts: Mapping[str, Any]) -> TaskRun:
    return TaskRun(
        task_id=facts["task_id"],
        state=facts["state"],
        try_number=facts["try_number"],
        seconds=facts["duration"],
        queued=_maybe_time(facts["queued_when"]),
        started=_maybe_time(facts["start_date"]),
        ended=_maybe_time(facts["end_date"]),
        pid=facts["pid"],
    )


def _maybe_time(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
