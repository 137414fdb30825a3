"""The builds of a run as one HTML page without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lake.build import ModelResult
from lake.build_log import DONE, RUNNING, BuildLog
from ticklake.task_builds import is_odd

REFRESH_S = 2
"""Seconds between two looks at a build that runs."""

BROKEN = {"error", "fail", "skipped", "runtime error", "partial success"}


@dataclass(frozen=True)
class Bar:
    """A stretch of the build's time, in percent of the whole."""

    label: str
    status: str
    left: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A model (or seed) with the tests about it."""

    node: ModelResult
    table: str
    bar: Bar
    tests: str
    status: str  # the worst of its own and its tests'


@dataclass(frozen=True)
class View:
    """What the page shows of one build."""

    log: BuildLog
    seconds: float
    counts: list[tuple[str, str]]
    odd: list[ModelResult]
    begun: list[tuple[ModelResult, float]]
    lanes: list[list[Bar]]
    rows: list[Row]

    @property
    def done_pct(self) -> float:
        """Nodes that ended, in percent of all."""
        return 100.0 * len(self.log.nodes) / self.log.total if self.log.total else 0.0

    @property
    def is_publishing(self) -> bool:
        """Have all nodes ended, and the build not?"""
        return self.log.ended is None and len(self.log.nodes) >= self.log.total > 0


def page(logs: Sequence[BuildLog], now: datetime | None = None) -> str:
    """The HTML of these builds; everything in it is escaped. `now` is for tests."""
    moment = now or datetime.now(UTC)
    follows = not logs or any(log.state == RUNNING for log in logs)
    return _template().render(
        views=[view(log, moment) for log in logs], refresh=REFRESH_S if follows else None
    )


def view(log: BuildLog, now: datetime) -> View:
    """What is shown of a build at this moment."""
    end = log.ended or (now if log.state == RUNNING else _last(log))
    scale = _Scale(log.began, max((end - log.began).total_seconds(), 0.001))
    models = [node for node in log.nodes if node.kind in {"model", "seed"}]
    rows = [_row(node, log.nodes, scale) for node in models]
    return View(
        log=log,
        seconds=scale.seconds,
        counts=_counts(log),
        odd=sorted((n for n in log.nodes if is_odd(n.status)), key=_severity),
        begun=[(n, (now - _began(n, now)).total_seconds()) for n in log.running.values()],
        lanes=_lanes(log, scale),
        rows=sorted(rows, key=lambda row: (*_severity(row.node, row.status), -row.node.seconds)),
    )


@dataclass(frozen=True)
class _Scale:
    began: datetime
    seconds: float

    def bar(self, label: str, status: str, began: datetime, seconds: float) -> Bar:
        left = min(max((began - self.began).total_seconds() / self.seconds, 0.0), 1.0)
        width = min(seconds / self.seconds, 1.0 - left)
        return Bar(label, status, round(100 * left, 3), round(100 * width, 3), seconds)


def _row(node: ModelResult, nodes: Sequence[ModelResult], scale: _Scale) -> Row:
    tests = [t for t in nodes if t.judges == node.name]
    odd = [t.status for t in tests if is_odd(t.status)]
    told = f"{len(tests)} pass" if tests else ""
    if odd:
        worst = sorted(odd, key=lambda status: status not in BROKEN)[0]
        told = f"{len(odd)} of {len(tests)}: {worst}"
    table = f"{node.schema}.{node.name}" if node.schema else node.name
    bar = scale.bar(table, node.status, _began(node, scale.began), node.seconds)
    status = node.status if is_odd(node.status) or not odd else sorted(odd)[0]
    return Row(node, table, bar, told, status)


def _lanes(log: BuildLog, scale: _Scale) -> list[list[Bar]]:
    """Nodes side by side as dbt's threads ran them: each in the first lane that is free."""
    lanes: list[list[Bar]] = []
    free: list[datetime] = []
    for node in sorted((n for n in log.nodes if n.seconds), key=lambda n: n.started):
        began = _began(node, log.began)
        ended = _ended(node, log.began)
        place = next((i for i, at in enumerate(free) if at <= began), len(lanes))
        if place == len(lanes):
            lanes.append([])
            free.append(ended)
        free[place] = ended
        lanes[place].append(scale.bar(node.name, node.status, began, node.seconds))
    if lanes:
        lanes[0] = [*_around(log, scale), *lanes[0]]
    return lanes


def _around(log: BuildLog, scale: _Scale) -> list[Bar]:
    """What dbt did before its first node, and what came after its last."""
    first = min(_began(node, log.began) for node in log.nodes)
    bars = [scale.bar("waiting, starting dbt", "around", log.began, _between(log.began, first))]
    if log.ended is not None:
        last = max(_ended(node, log.began) for node in log.nodes)
        label = "publishing" if log.state == DONE else "ending"
        bars.append(scale.bar(label, "around", last, _between(last, log.ended)))
    return bars


def _counts(log: BuildLog) -> list[tuple[str, str]]:
    models = [n for n in log.nodes if n.kind in {"model", "seed"}]
    tests = [n for n in log.nodes if n.kind in {"test", "unit_test"}]
    findings = sum(n.status == "warn" for n in log.nodes)
    failed = sum(is_odd(n.status) and n.status != "warn" for n in log.nodes)
    return [
        ("models and seeds", str(len(models))),
        ("tests", str(len(tests))),
        ("findings", str(findings)),
        ("failed or skipped", str(failed)),
    ]


def _severity(node: ModelResult, status: str = "") -> tuple[int, str]:
    status = status or node.status
    rank = 2 if not is_odd(status) else 1 if status in {"warn", "skipped"} else 0
    return rank, "" if rank == 2 else node.name


def _began(node: ModelResult, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(node.started) if node.started else otherwise


def _ended(node: ModelResult, otherwise: datetime) -> datetime:
    return datetime.fromtimestamp(_began(node, otherwise).timestamp() + node.seconds, UTC)


def _last(log: BuildLog) -> datetime:
    return max((_ended(node, log.began) for node in log.nodes), default=log.began)


def _between(first: datetime, last: datetime) -> float:
    return max((last - first).total_seconds(), 0.0)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["seconds"] = "{:,.2f}".format
    return environment.get_template("page.html")
