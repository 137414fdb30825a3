"""A build asked for by a task of Airflow's: followed node by node, summed up in the task's log."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lake.build import BuildResult, ModelResult
    from lake.build_log import Asked
    from lake.settings import Settings

log = logging.getLogger(__name__)

SHOWN = 10
"""Nodes of a summary: all that are not well, then the slowest."""


def build_in_task(
    settings: "Settings",
    *,
    start: date | None = None,
    end: date | None = None,
    full_refresh: bool = False,
) -> "BuildResult":
    """`lake.build.build`, whose nodes the page beside the task shows as they come."""
    from lake.build import STARTED, ModelResult, build
    from lake.build_log import build_log

    ended: list[ModelResult] = []
    with build_log(settings, _asked()) as told:

        def progress(node: ModelResult, total: int) -> None:
            told.node(node, total)
            if node.status != STARTED:
                ended.append(node)

        try:
            result = build(
                settings, start=start, end=end, full_refresh=full_refresh, progress=progress
            )
        finally:
            log.info("%s", summary(ended))
        told.done(result)
    return result


def summary(nodes: "Sequence[ModelResult]") -> str:
    """How many of each kind went how, then the nodes to look at, as lines of text."""
    if not nodes:
        return "dbt ran no node"
    counts = Counter((node.kind, node.status) for node in nodes)
    kinds = sorted({kind for kind, _ in counts})
    lines = [", ".join(_counted(kind, counts) for kind in kinds)]
    odd = [node for node in nodes if is_odd(node.status)]
    rest = sorted((n for n in nodes if not is_odd(n.status)), key=lambda n: -n.seconds)
    shown = [*odd, *rest[: max(0, SHOWN - len(odd))]]
    width = max(len(node.name) for node in shown)
    lines.append(f"{'node'.ljust(width)}  kind   status    seconds")
    for node in shown:
        facts = f"{node.kind:<5}  {node.status:<8} {node.seconds:8.2f}  {node.message}"
        lines.append(f"{node.name.ljust(width)}  {facts}".rstrip())
    return "\n".join(lines)


def is_odd(status: str) -> bool:
    """Is this the status of a node that somebody should look at?"""
    return status not in {"success", "pass", "no-op", "started"}


def _counted(kind: str, counts: "Counter[tuple[str, str]]") -> str:
    went = {status: count for (of, status), count in counts.items() if of == kind}
    told = ", ".join(f"{count} {status}" for status, count in sorted(went.items()))
    return f"{sum(went.values())} {kind}{'s' if sum(went.values()) != 1 else ''} ({told})"


def _asked() -> "Asked":
    """The task that runs this; without one, as in a test, a log that no page asks for."""
    from airflow.sdk import get_current_context

    from lake.build_log import Asked

    try:
        task = get_current_context()["ti"]
    except RuntimeError:
        return Asked("", "", "", 0)
    return Asked(task.dag_id, task.run_id, task.task_id, task.try_number)
