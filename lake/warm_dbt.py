"""dbt kept warm: a process that has imported it and parsed the project forks a child for each run.

Starting dbt takes longer than a round with few news. A child is a process of its own, as `dbt` in a
shell is: memory, locks and connections to DuckDB go with it, and a killed round is a killed
process. Run as a module this is the server; `WarmDbt` is what its callers hold.

Server and client speak in lines of JSON: a request in, whatever dbt prints out, then `ended`.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lake.build import NODE_EVENTS
from lake.project import PROJECT, code_files

READY, ENDED = "ticklake_dbt_ready", "ticklake_dbt_ended"
_STOP_S = 10.0
# Every event as JSON, those of debugging too, is an eighth of a round with few news.
_QUIETLY = ("--log-level", "none", "--log-level-file", "info", "--log-format-file", "text")


class WarmDbtDied(RuntimeError):
    """The process that keeps dbt warm ended by itself; the message has its last words."""


class WarmDbt:
    """Runs dbt as `lake.build.Dbt` says, without its start. One run at a time.

    When a file of the project changed since, the next run starts it anew: what was parsed holds no
    longer. However a run is left, be it by an interrupt, its process has ended by then.
    """

    def __init__(self, folders: Sequence[str], environment: Mapping[str, str]) -> None:
        """`folders` are dbt's arguments about them, `environment` what the project is read in."""
        self._folders, self._environment = folders, environment
        self._server: subprocess.Popen[str] | None = None
        self._made_of = ""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __call__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        """Run dbt; its exit code, or minus the number of the signal that killed it."""
        if not self._is_up() or self._made_of != state_of_code():
            self.stop()
            self._start()
        server = self._server
        assert server is not None and server.stdin is not None
        request = {"arguments": list(arguments), "environment": dict(environment)}
        try:
            self._until(READY)
            print(json.dumps(request), file=server.stdin, flush=True)
            ended = self._until(ENDED, on_line)
        except BaseException:
            self.stop()
            raise
        return int(ended[ENDED])

    def stop(self) -> None:
        """End the server, and the run it is at; the lake stands it as it stands a kill."""
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None and server.stdout is not None
        with suppress(BrokenPipeError):
            server.stdin.close()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # it had not come to listening yet
            server.kill()
            server.wait()
        server.stdout.close()

    def _is_up(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def _start(self) -> None:
        self._made_of = state_of_code()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "lake.warm_dbt", *self._folders],
            cwd=PROJECT,
            env=dict(self._environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )

    def _until(self, key: str, on_line: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        server = self._server
        assert server is not None and server.stdout is not None
        last: list[str] = []
        for line in server.stdout:
            if found := _message(line, key):
                return found
            on_line(line)
            last = [*last[-19:], line]
        raise WarmDbtDied(f"the process that keeps dbt warm ended:\n{''.join(last)}")


def state_of_code(project: Path = PROJECT) -> str:
    """What changes whenever a file changes that dbt, or a run of it, is made of."""
    digest = hashlib.sha256()
    for path in code_files(project):
        seen = path.stat()
        digest.update(f"{path} {seen.st_mtime_ns} {seen.st_size}\n".encode())
    return digest.hexdigest()


def _message(line: str, key: str) -> dict[str, Any] | None:
    if not line.startswith(f'{{"{key}"'):
        return None
    found: dict[str, Any] = json.loads(line)
    return found


def _tell(key: str, value: int) -> None:
    sys.stdout.write(f"{json.dumps({key: value})}\n")
    sys.stdout.flush()


def _serve(folders: Sequence[str]) -> None:
    """Until the input ends: fork a child for each request, and say how it ended."""
    manifest = _parsed(folders)
    _tell(READY, os.getpid())
    while line := sys.stdin.readline():
        alive, held = os.pipe()  # the child alone holds the other end: when it dies, this one ends
        child = os.fork()
        if child == 0:
            os.close(alive)
            _run(json.loads(line), manifest)
        os.close(held)
        readable, _, _ = select.select([sys.stdin, alive], [], [])
        if alive not in readable:  # whoever asked is gone
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(alive)
        _tell(ENDED, os.waitstatus_to_exitcode(status))
        _tell(READY, os.getpid())


def _parsed(folders: Sequence[str]) -> Any:
    """The project as dbt read it; None if it cannot be read, then each run says why."""
    import dbt.adapters.duckdb.connections
    import dbt.task.build  # noqa: F401
    from dbt.cli.main import dbtRunner

    import lake.build_end  # noqa: F401

    done = dbtRunner().invoke(["parse", "--quiet", *folders])
    return done.result if done.success else None


def _run(request: Mapping[str, Any], manifest: Any) -> None:
    """What the child does. It leaves as a program does, so that DuckDB closes its file."""
    from dbt.cli.main import dbtRunner

    os.environ.clear()
    os.environ.update(request["environment"])
    done = dbtRunner(manifest=manifest, callbacks=[_hand_on]).invoke(
        [*request["arguments"], *_QUIETLY]
    )
    raise SystemExit(0 if done.success else 1)


def _hand_on(event: Any) -> None:
    """Print what the one who asked wants to know."""
    from google.protobuf.json_format import MessageToJson

    if event.info.name in NODE_EVENTS or event.info.level == "error":
        print(MessageToJson(event, preserving_proto_field_name=True, indent=None), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1:])
