"""dbt in processes that may be killed: a fork server, since the imports alone take 4 s.

Run as a module this is the server: it imports and parses, then forks a child for every request on
its input and reports how the child ended. `Builder` is the client that tests use. A child does what
`dbt` does in a shell: its own process, its own connections, and no clean-up when it is killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[1]
FAILED = 70  # exit status of a child whose dbt did not succeed


@dataclass(frozen=True)
class Ended:
    """How a dbt run ended: killed by a signal, or with success and the number of its events."""

    killed_by: int
    success: bool
    error: str
    events: int


class Builder:
    """Runs dbt in child processes, one at a time; several Builders run at once."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.builder", str(self.target)],
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
        self._server.wait(timeout=60)

    def dbt(
        self,
        lake: Path,
        *arguments: str,
        fault: str = "",
        kill_at: tuple[int, float] | None = None,
        **environment: str,
    ) -> Ended:
        """Run dbt over the lake at `lake`.

        `fault` is TICKLAKE_FAULT. `kill_at` is (n, seconds): SIGKILL that long after dbt's n-th
        event, counted from 1 over every level of its log.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        given = {
            "LAKE_URI": str(lake),
            **environment,
            **({"TICKLAKE_FAULT": fault} if fault else {}),
        }
        request = {
            "environment": given,
            "arguments": [*arguments, *_folders(self.target)],
            "kill_at": kill_at,
        }
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Ended(**json.loads(self._server.stdout.readline()))


def _folders(target: Path) -> list[str]:
    return ["--target-path", str(target), "--log-path", str(target), "--quiet"]


def _killer(kill_at: tuple[int, float] | None, count: list[int]) -> Callable[[Any], None]:
    """A dbt callback that counts events, and pulls the plug."""

    def on_event(_: Any) -> None:
        count[0] += 1
        if kill_at and count[0] == kill_at[0]:
            kill = threading.Timer(kill_at[1], os.kill, (os.getpid(), signal.SIGKILL))
            kill.daemon = True
            kill.start()

    return on_event


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """What the child does."""
    from dbt.cli.main import dbtRunner

    os.environ |= {"DBT_SEND_ANONYMOUS_USAGE_STATS": "0", **request["environment"]}
    os.chdir(REPOSITORY / "dbt")
    count = [0]
    result = dbtRunner(callbacks=[_killer(request["kill_at"], count)]).invoke(request["arguments"])
    failed = [
        f"{r.node.unique_id}: {r.status}: {r.message}"
        for r in getattr(result.result, "results", [])
        if r.status not in ("success", "pass", "warn")
    ]
    error = "\n".join([str(result.exception or ""), *failed]).strip()
    return {"success": result.success, "error": error[-4_000:], "events": count[0]}


def _child(request: dict[str, Any], report: int) -> None:
    try:
        answer = _run(request)
    except BaseException:
        answer = {"success": False, "error": traceback.format_exc()[-4_000:], "events": 0}
    os.write(report, json.dumps(answer).encode())
    os._exit(0 if answer["success"] else FAILED)


def _prepare(target: Path) -> None:
    """What every child would do anew: import, and parse the project."""
    import dbt.adapters.duckdb.connections
    import dbt.task.build  # noqa: F401
    from dbt.cli.main import dbtRunner

    import lake.build_end  # noqa: F401

    os.environ["LAKE_URI"] = str(target / "no-lake")
    os.chdir(REPOSITORY / "dbt")
    dbtRunner().invoke(["parse", *_folders(target)])


def _serve(target: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what dbt prints must not look like an answer
    _prepare(target)
    for line in sys.stdin:
        reader, report = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line), report)
        os.close(report)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reader) as told:
            answer = told.read()
        if os.WIFSIGNALED(status):
            ended = Ended(os.WTERMSIG(status), False, "", 0)
        else:
            ended = Ended(0, **json.loads(answer))
        print(json.dumps(ended.__dict__), file=answers, flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
