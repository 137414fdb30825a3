"""Running `dbt build` from Python: the same command a person types, watched and summed up.

It runs as a process of its own, so that a caller (Airflow, the command line) keeps its memory and
its logging, and a killed build is a killed process.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from lake import standing
from lake.layout import layout
from lake.locks import Busy, held
from lake.session import new_id
from lake.settings import PROJECT, Settings, environment_of

_RESULTS = {
    *("LogModelResult", "LogTestResult", "LogSeedResult", "LogNodeResult"),
    "LogNodeNoOpResult",  # an exposure
}
_BEGUN, _SKIPPED = "LogStartLine", "SkippingDetails"
STARTED = "started"
NODE_EVENTS = frozenset({*_RESULTS, _BEGUN, _SKIPPED})  # of dbt, that speak of a node
WAIT_FOR_OTHERS_S = 1800.0


class BuildFailed(RuntimeError):
    """The build did not publish; the message says which node failed and what to do."""


class BuildBusy(RuntimeError):
    """Another build has the warehouse; trying again later mends it."""


@dataclass(frozen=True)
class ModelResult:
    """How one node of the graph went."""

    name: str
    kind: str  # model | test | seed | unit_test
    status: str
    seconds: float
    message: str = ""
    schema: str = ""  # of what a model makes
    judges: str = ""  # a test: the model it is about; empty where it looks at several
    started: str = ""  # UTC, ISO 8601


@dataclass(frozen=True)
class BuildResult:
    """How a build went."""

    build_id: str
    published: bool
    publication: int | None
    advanced: bool
    reason: str
    cpu_seconds: float = 0.0  # of publishing
    models: list[ModelResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


Progress = Callable[[ModelResult, int], None]
"""Is told each node twice, and how many there are: with status STARTED, and when it has ended."""

Dbt = Callable[[Sequence[str], Mapping[str, str], Callable[[str], None]], int]
"""Runs dbt with arguments and an environment; its exit code.

Hands on its events of NODE_EVENTS and those of errors, each as a line of JSON.
"""


def build(
    settings: Settings,
    *,
    start: date | None = None,
    end: date | None = None,
    full_refresh: bool = False,
    select: Sequence[str] = (),
    progress: Progress | None = None,
    dbt: Dbt | None = None,
    wait_s: float = WAIT_FOR_OTHERS_S,
) -> BuildResult:
    """Build what changed, or the UTC days [start, end), and publish it.

    After a build of everything only what news can reach is run, and dbt is not started where there
    are none. `dbt` is how it is run, a process of its own each time unless given. Other builds are
    waited for up to `wait_s` seconds.

    Raises BuildFailed if a model or an invariant test failed: readers keep what they had. Raises
    BuildBusy if another build did not end in time.
    """
    arguments = ["build", *folders(settings), "--log-format", "json"]
    arguments += ["--full-refresh"] if full_refresh else []
    arguments += ["--select", *select] if select else []
    build_id = new_id()
    environment = dbt_environment(settings) | {"TICKLAKE_BUILD_ID": build_id}
    for name, day in (("TICKLAKE_BUILD_FROM", start), ("TICKLAKE_BUILD_TO", end)):
        if day is not None:
            environment[name] = day.isoformat()
    with _one_at_a_time(settings, wait_s):
        is_plain = not (start or end or full_refresh or select)
        stands = standing.look(settings) if is_plain else None
        if stands and not stands.news:
            reason = "nothing has landed since"
            return BuildResult(build_id, False, stands.publication, True, reason)
        if stands:
            arguments += stands.arguments()
            environment |= stands.environment()
        nodes, errors, code = _run(dbt or dbt_process, arguments, environment, progress)
        result = _result(settings, build_id, nodes, errors, code)
        if result.advanced:
            standing.mark(settings)
    return result


def folders(settings: Settings) -> list[str]:
    """Arguments that tell dbt where the project is, and where to keep what it makes of it."""
    own = settings.local / "dbt"
    project = ["--project-dir", str(PROJECT / "dbt"), "--profiles-dir", str(PROJECT / "dbt")]
    return [*project, "--target-path", str(own / "target"), "--log-path", str(own / "logs")]


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The environment that dbt runs in, from wherever it is started."""
    return environment_of(settings) | {
        "DBT_PROJECT_DIR": str(PROJECT / "dbt"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }


@contextmanager
def _one_at_a_time(settings: Settings, wait_s: float) -> Iterator[None]:
    try:
        with held(layout(settings).lock("build"), wait_s=wait_s):
            yield
    except Busy as busy:
        waited = f"after {wait_s / 60:.0f} minutes" if wait_s else "now"
        raise BuildBusy(f"another build is still running {waited}: {busy}") from busy


def _run(
    dbt: Dbt, arguments: Sequence[str], environment: Mapping[str, str], progress: Progress | None
) -> tuple[list[ModelResult], list[str], int]:
    nodes: list[ModelResult] = []
    errors: list[str] = []

    def on_line(line: str) -> None:
        event = _event(line)
        if event is None:
            return
        info, data = event["info"], event["data"]
        if info["name"] in NODE_EVENTS:
            node = _node(data)
            if info["name"] == _SKIPPED:
                node = replace(node, status="skipped")
            if node.status != STARTED:
                nodes.append(node)
            if progress:
                progress(node, int(data.get("total") or data.get("num_models") or 0))
        elif info["level"] == "error":
            errors.append(info["msg"].strip())

    code = dbt(arguments, environment, on_line)
    return nodes, errors, code


def dbt_process(
    arguments: Sequence[str], environment: Mapping[str, str], on_line: Callable[[str], None]
) -> int:
    """dbt as a shell runs it."""
    with subprocess.Popen(
        [_dbt(), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line)
    return process.returncode


def _dbt() -> str:
    beside = Path(sys.executable).parent / "dbt"
    found = str(beside) if beside.exists() else shutil.which("dbt")
    if not found:
        raise BuildFailed("no `dbt` beside this Python; run `make setup`")
    return found


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "info" in event else None


def _node(data: dict[str, Any]) -> ModelResult:
    info = data["node_info"]
    relation = info.get("node_relation") or {}
    return ModelResult(
        name=info["unique_id"].split(".")[2],
        kind=info["resource_type"],
        status=info["node_status"],
        seconds=round(float(data.get("execution_time", 0.0)), 3),
        message=f"{data['num_failures']} rows" if data.get("num_failures") else "",
        schema=str(relation.get("schema") or ""),
        judges=str(data.get("attached_node") or "").split(".")[-1],
        started=f"{info['node_started_at']}+00:00" if info.get("node_started_at") else "",
    )


def _result(
    settings: Settings, build_id: str, nodes: list[ModelResult], errors: list[str], code: int
) -> BuildResult:
    path = settings.local / "run" / "builds" / f"{build_id}.json"
    outcome = json.loads(path.read_bytes()) if path.exists() else None
    if outcome is None and any("Could not set lock on file" in error for error in errors):
        raise BuildBusy(f"build {build_id}: another dbt has the warehouse; try again when it ends")
    if code != 0 or outcome is None:
        why = outcome["reason"] if outcome else "dbt stopped before its end"
        shown = "\n  ".join(dict.fromkeys(errors[-8:])) or f"exit code {code}"
        raise BuildFailed(
            f"build {build_id}: {why}\n  {shown}\nReaders keep the last publication. See "
            f"{settings.local / 'dbt' / 'logs' / 'dbt.log'}; mend the cause and build again"
        )
    outcome.pop("open_accounts")
    warnings = [f"{n.name}: {n.message}" for n in nodes if n.status == "warn"]
    return BuildResult(models=nodes, warnings=warnings, **outcome)
