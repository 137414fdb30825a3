"""Replays and senders of dead letters in processes that may be killed: a fork server.

Run as a module this is the server: it imports, then forks a child for every request on its input.
Requests may be started together, to run at once; each is answered when it has ended.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[2]
FAILED = 70  # exit status of a child that raised


@dataclass(frozen=True)
class Ended:
    """How a child ended: killed by a signal, an error's text, or what it did."""

    killed_by: int
    error: str
    done: int


@dataclass(frozen=True)
class Job:
    """What a child does: `replay` or `send`, with the settings and the contract given.

    `contract` is "" or one of `tests.growing.BY_NAME`; `fault` is TICKLAKE_FAULT.
    """

    what: str
    environment: Mapping[str, str]
    contract: str = ""
    fault: str = ""


class Replayer:
    """Runs jobs in child processes."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.replayer"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)

    def run(self, *jobs: Job) -> list[Ended]:
        """Run jobs at once; returns how each ended."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = [{**vars(job), "environment": dict(job.environment)} for job in jobs]
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return [Ended(**ended) for ended in json.loads(self._server.stdout.readline())]


def _do(job: dict[str, Any]) -> int:
    """What the child does; returns the records replayed, or the letters sent."""
    from ingestion.dead_letters import send_new
    from ingestion.replay import replay
    from lake.settings import load_settings
    from tests.growing import BY_NAME, become

    if job["contract"]:
        become(BY_NAME[job["contract"]])
    if job["fault"]:
        os.environ["TICKLAKE_FAULT"] = job["fault"]
    settings = load_settings(job["environment"])
    if job["what"] == "replay":
        return sum(replayed.passed for replayed in replay(settings))
    return sum(delivery.sent for delivery in send_new(settings))


def _child(job: dict[str, Any], report: int) -> None:
    status = FAILED
    os.dup2(2, 1)  # what the child logs must not look like an answer of the server
    try:
        answer = str(_do(job))
        status = 0
    except BaseException:
        answer = traceback.format_exc()
    os.write(report, answer.encode()[-4_000:])
    os._exit(status)


def _all(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    children = []
    for job in jobs:
        reader, report = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(job, report)
        os.close(report)
        children.append((pid, reader))
    return [_ended(pid, reader) for pid, reader in children]


def _ended(pid: int, reader: int) -> dict[str, Any]:
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        answer = told.read()
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    failed = not killed_by and os.WEXITSTATUS(status) != 0
    done = int(answer) if not killed_by and not failed else 0
    return {"killed_by": killed_by, "error": answer if failed else "", "done": done}


def _serve() -> None:
    # What every child would import anew, but for the feeds: they start threads of polars, which
    # a fork does not take along, and the child would wait for them for ever.
    import lake.quarantine  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_all(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
