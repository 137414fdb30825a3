"""What a build tells while it runs: one line of JSON per node as it begins and as it ends.

Written by whoever asked for the build, read by the page that Airflow shows beside the task. A log
is locked while its build runs, so that a reader knows one that was killed from one that goes on.
Nothing a reader asks for ever becomes part of a path: logs are found by what stands in them.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lake.build import STARTED, BuildResult, ModelResult
from lake.session import new_id
from lake.settings import Settings

KEPT = 50
"""Logs that are kept, the newest."""

RUNNING, DONE, FAILED, KILLED = "running", "done", "failed", "killed"


@dataclass(frozen=True)
class Asked:
    """The task of Airflow's that asked for the build."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int


@dataclass
class BuildLog:
    """A build as far as it came. Times are UTC; `nodes` in the order they ended."""

    asked: Asked
    began: datetime
    state: str = RUNNING
    ended: datetime | None = None
    outcome: str = ""  # a reason, or what failed
    build_id: str = ""
    total: int = 0  # nodes of the graph
    nodes: list[ModelResult] = field(default_factory=list)
    running: dict[str, ModelResult] = field(default_factory=dict)


class BuildLogWriter:
    """The log of one build. What cannot be written is left out: the build matters more."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def node(self, node: ModelResult, total: int) -> None:
        """Tell of a node that began or ended; `lake.build.Progress`."""
        self._tell({"node": asdict(node), "total": total})

    def done(self, result: BuildResult) -> None:
        """Tell how the build came out."""
        shown = f"publication {result.publication}, " if result.published else ""
        self._end(DONE, f"{shown}{result.reason}", result.build_id)

    def failed(self, error: BaseException) -> None:
        """Tell why there is no result."""
        self._end(FAILED, str(error) or type(error).__name__, "")

    def _end(self, state: str, outcome: str, build_id: str) -> None:
        self._tell({"end": _now(), "state": state, "outcome": outcome, "build_id": build_id})

    def _tell(self, line: dict[str, Any]) -> None:
        with suppress(OSError):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


@contextmanager
def build_log(settings: Settings, asked: Asked) -> Iterator[BuildLogWriter]:
    """A new log for the build inside the block, which tells `done` itself; errors are told here."""
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.jsonl"))[: 1 - KEPT]:
        old.unlink(missing_ok=True)
    with (folder / f"{new_id()}.jsonl").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = BuildLogWriter(file)
        writer._tell({"asked": asdict(asked), "began": _now()})
        try:
            yield writer
        except BaseException as error:
            writer.failed(error)
            raise


def build_logs(settings: Settings, dag_id: str, run_id: str, task_id: str = "") -> list[BuildLog]:
    """Logs of this run's builds, of one task where it is named, the newest first."""
    found = []
    for path in sorted(_folder(settings).glob("*.jsonl"), reverse=True):
        with suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
            asked, began = _asked(file.readline())
            if asked is None or (asked.dag_id, asked.run_id) != (dag_id, run_id):
                continue
            if task_id in {"", asked.task_id}:
                is_held = _is_held(file)  # before the rest is read: its end may come in between
                found.append(_read(BuildLog(asked, began), file, is_held))
    return found


def _folder(settings: Settings) -> Path:
    return settings.local / "dbt" / "builds"


def _asked(line: str) -> tuple[Asked | None, datetime]:
    try:
        head = json.loads(line)
        return Asked(**head["asked"]), datetime.fromisoformat(head["began"])
    except (ValueError, KeyError, TypeError):
        return None, datetime.now(UTC)


def _read(log: BuildLog, file: IO[str], is_held: bool) -> BuildLog:
    for line in file:
        try:
            told = json.loads(line)
        except ValueError:  # half a line: it is being written, or its writer was killed
            continue
        if "node" in told:
            node = ModelResult(**told["node"])
            log.total = told["total"]
            if node.status == STARTED:
                log.running[node.name] = node
            else:
                log.running.pop(node.name, None)
                log.nodes.append(node)
        else:
            log.state, log.outcome, log.build_id = told["state"], told["outcome"], told["build_id"]
            log.ended = datetime.fromisoformat(told["end"])
    if log.ended is None and not is_held:
        log.state, log.outcome = KILLED, "its process ended without a word; readers lost nothing"
    return log


def _is_held(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _now() -> str:
    return datetime.now(UTC).isoformat()
