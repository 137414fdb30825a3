"""The assets that tie the flows together, and what their events say.

Airflow announces a task's assets whenever the task ends well; here it is told to leave one out
where nothing changed, so that an event always means news.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import date, timedelta
from typing import Any

from airflow.sdk import Asset, get_current_context

BRONZE = Asset(name="bronze", uri="ticklake://bronze", group="market-data")
"""Records landed: rows, rejected, touched hours, by dataset."""

GOLD = Asset(name="gold", uri="ticklake://gold", group="market-data")
"""A new publication: its number, the build, and what it read that the one before had not."""

CLOSED_DAYS = Asset(name="closed_days", uri="ticklake://gold/closed_days", group="market-data")
"""Days that were recomputed whole and whose accounts close, also when nothing differed."""

_NOTHING: Mapping[str, Any] = {"rows": 0, "rejected": 0, "hours": 0, "datasets": {}}

MOST_HOURS = 48  # listed one by one in an event; of more only the first and the last


def announce(asset: Asset, extra: Mapping[str, Any] | None) -> None:
    """Say what the running task's event of `asset` holds; None: nothing changed, no event."""
    context = get_current_context()
    if extra is not None:
        context["outlet_events"][asset].extra = dict(extra)
        return
    running: Any = context["ti"]
    # The task itself is shared with later runs in this process: only this run's copy is changed.
    running.task = copy(running.task)
    running.task.outlets = [outlet for outlet in running.task.outlets if outlet != asset]


def announce_build(built: Mapping[str, Any]) -> None:
    """Say what the running task's event of GOLD holds; GOLD is also among the task's inlets."""
    events = get_current_context()["inlet_events"][GOLD].ascending(False).limit(1)
    announce(GOLD, of_build(built, next((event.extra or {} for event in events), {})))


def of_landing(landed: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The event of a landing, from what `flows.land` returns; None if nothing landed."""
    return _of_datasets(
        {
            "dataset": one["dataset"],
            "rows": one.get("ok", 0),
            "rejected": one.get("rejected", 0),
            "hours": one.get("hours", ()),
        }
        for one in landed
    )


def of_replay(replayed: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The event of a replay, from what `flows_quarantine.replay` returns; None if none passed."""
    return _of_datasets(
        {"dataset": one["dataset"], "rows": one["passed"], "rejected": 0, "hours": one["hours"]}
        for one in replayed
    )


def of_build(built: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event of a build, from what `flows.build` returns and the last event said; None where
    what is published was announced before.

    What a build in a shell or a resident one published meanwhile is announced, too: who follows the
    asset follows what is published, whoever did it.
    """
    current = built.get("current")
    if current is None or current["build_id"] == last.get("build_id"):
        return None
    said = _of_datasets(built["news"]) or _NOTHING
    return {**current, "days": built["days"], **said}


def of_days(landed: Mapping[str, Any], accounts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event of closed days, from what `flows.land_day` and `flows.reconcile` return; None in a
    dry run."""
    if accounts.get("dry_run"):
        return None
    said = of_landing(landed["landed"]) or _NOTHING
    last = date.fromisoformat(landed["end"]) - timedelta(days=1)
    days = {"from": landed["start"], "to": last.isoformat()}
    return {**days, "accounts": accounts["accounts"], **said}


def _of_datasets(parts: Any) -> dict[str, Any] | None:
    datasets: dict[str, dict[str, Any]] = {}
    for part in parts:
        if not part["rows"] and not part["rejected"]:
            continue
        one = datasets.setdefault(part["dataset"], {"rows": 0, "rejected": 0, "hours": []})
        one["rows"] += part["rows"]
        one["rejected"] += part["rejected"]
        one["hours"] = sorted({*one["hours"], *part["hours"]})
    if not datasets:
        return None
    return {
        "rows": sum(one["rows"] for one in datasets.values()),
        "rejected": sum(one["rejected"] for one in datasets.values()),
        "hours": len({hour for one in datasets.values() for hour in one["hours"]}),
        "datasets": {name: {**one, "hours": _few(one["hours"])} for name, one in datasets.items()},
    }


def _few(hours: list[str]) -> list[str] | dict[str, Any]:
    if len(hours) <= MOST_HOURS:
        return hours
    return {"count": len(hours), "first": hours[0], "last": hours[-1]}
