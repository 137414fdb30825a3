"""What the DAGs do, as functions: call the rooms, log the outcome, return it as plain data.

A DAG file holds schedule and params only; its tasks call these. Whatever they return is made of
dicts, lists, strings and numbers, fit for an XCom. An error that trying again cannot mend is
raised as AirflowFailException, so that the desk hears of it at once and not after the retries.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ticklake.flow_errors import AccountsOpen, CandlesDrift, final_errors

if TYPE_CHECKING:
    from checks.reconcile import Account
    from ingestion.land import Landing

log = logging.getLogger(__name__)


def land(datasets: Sequence[str] = (), *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Land what lies in the inbox, then in the topics that no resident process holds.

    `datasets` empty means all of them. One entry per dataset and way in; with `dry_run` per place
    from which something would be landed, see `flows_dry.land`.
    """
    from ingestion.land import land_inbox, land_topics
    from lake.settings import load_settings
    from ticklake import flows_dry

    with final_errors():
        if dry_run:
            return flows_dry.land(datasets)
        settings = load_settings()
        landings = land_inbox(settings, datasets=datasets)
        landings += land_topics(settings, tuple(datasets))
    return _told(landings)


def land_day(asked: Mapping[str, Any], datasets: Sequence[str] = ()) -> dict[str, Any]:
    """Land the inbox units of the days asked for, catch up with the topics.

    `asked` is what `flows_asked.days` returns; it is given back with "landed", as `land` has it.
    """
    from ingestion.land import land_inbox, land_topics
    from lake.settings import load_settings
    from ticklake import flows_dry

    landings: list[Landing] = []
    with final_errors():
        if asked["dry_run"]:
            return {**asked, "landed": flows_dry.land(datasets, [*each_day(asked)])}
        settings = load_settings()
        for day in each_day(asked):
            landings += land_inbox(settings, day=day, datasets=datasets)
        landings += land_topics(settings, tuple(datasets))
    return {**asked, "landed": _told(landings)}


def each_day(asked: Mapping[str, Any]) -> Iterator[date]:
    """The days from "start" to "end" (excluded), as `flows_asked.days` has them."""
    day, end = date.fromisoformat(asked["start"]), date.fromisoformat(asked["end"])
    while day < end:
        yield day
        day += timedelta(days=1)


def build(
    start: str | None = None,
    end: str | None = None,
    *,
    full_refresh: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Build what was touched, or the days `start`..`end` (excluded) whole, and publish it.

    Days are YYYY-MM-DD, as they come out of `land_day`. Beside how the build went it returns
    "current", number and build of what is published now; "news", what that publication read and
    the one before had not, by dataset: rows, rejected, hours; and "days", what was rebuilt whole
    ("2025-10-01 to 2025-10-05"), None without a range. With `dry_run` it says what it would do,
    see `flows_dry.build`.

    Raises AirflowFailException when a model or an invariant test fails.
    """
    from lake import news
    from lake.layout import layout
    from lake.records import current
    from lake.settings import load_settings
    from ticklake import flows_dry
    from ticklake.flows_asked import range_told
    from ticklake.task_builds import build_in_task

    with final_errors():
        if dry_run:
            return flows_dry.build(start, end, full_refresh=full_refresh)
        settings = load_settings()
        built = build_in_task(
            settings,
            start=None if start is None else date.fromisoformat(start),
            end=None if end is None else date.fromisoformat(end),
            full_refresh=full_refresh,
        )
    for warning in built.warnings:
        log.warning("%s", warning)
    shown = f"publication {built.publication}" if built.published else "nothing new to publish"
    log.info("build %s: %d models, %s", built.build_id, len(built.models), shown)
    told: dict[str, Any] = json.loads(json.dumps(asdict(built), default=str))
    told["days"] = range_told(start, end)
    told["current"], told["news"] = None, []
    if record := current(layout(settings)):
        read = news.of_publication(layout(settings), record.number)
        told["current"] = {"publication": record.number, "build_id": record.build_id}
        told["news"] = [{**asdict(one), "hours": list(one.hours)} for one in read]
    return told


def reconcile(*, quick: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Judge the accounts, from the broker to what is published.

    With `quick` published files are counted and not read. With `dry_run` nothing is judged: that
    brings the ledger up.

    Raises AirflowFailException naming the accounts that do not close.
    """
    from checks.reconcile import reconcile
    from lake.settings import load_settings

    if dry_run:
        log.info("a dry run judges no accounts; `ticklake reconcile` shows how they stand")
        return {"accounts": 0, "open": 0, "dry_run": True}
    with final_errors():
        accounts = reconcile(load_settings(), quick=quick)
        unbalanced = [account for account in accounts if account.difference != 0]
        if unbalanced:
            lines = "\n".join(_line(account) for account in unbalanced)
            raise AccountsOpen(
                f"{len(unbalanced)} accounts do not close:\n{lines}\n"
                "`ticklake reconcile` shows more: docs/reconciliation.md"
            )
    log.info("%d accounts close", len(accounts))
    return {"accounts": len(accounts), "open": 0}


def drift(days: Sequence[str] = ()) -> dict[str, Any]:
    """Judge speed candles against batch candles, of these UTC days (YYYY-MM-DD) or of all.

    Without windows to compare, as in a lake without a speed layer, nothing fails.
    Raises AirflowFailException naming the runs beyond their limits.
    """
    from checks.drift import DriftNotBuilt, drift
    from lake.settings import load_settings

    wanted = {date.fromisoformat(day) for day in days}
    with final_errors():
        try:
            found = drift(load_settings(), next(iter(wanted)) if len(wanted) == 1 else None)
        except DriftNotBuilt as error:
            log.warning("drift is not judged: %s", error)
            return {"runs": 0, "failed": 0, "windows": 0}
    runs = [run for run in found.runs if not wanted or run.day in wanted]
    failed = [run for run in runs if not run.passed]
    if failed:
        lines = "\n".join(f"  {run.told()}" for run in failed)
        with final_errors():
            raise CandlesDrift(
                f"{len(failed)} runs drift:\n{lines}\n`ticklake drift` says why: docs/drift.md"
            )
    log.info("%d runs of candles are within their limits", len(runs))
    return {"runs": len(runs), "failed": 0, "windows": len(found.windows)}


def _told(landings: "Sequence[Landing]") -> list[dict[str, Any]]:
    told = []
    for landing in landings:
        if landing.held_by:
            log.info("%s is left to another process: %s", landing.dataset, landing.held_by)
        counts = (landing.dataset, landing.ok, landing.rejected, landing.batches)
        log.info("landed %s: %d ok, %d rejected, %d batches", *counts)
        told.append(
            {
                "dataset": landing.dataset,
                "ok": landing.ok,
                "rejected": landing.rejected,
                "batches": landing.batches,
                "hours": list(landing.hours),
                "by_code": dict(landing.by_code),
                "held_by": landing.held_by,
            }
        )
    return told


def _line(account: "Account") -> str:
    sides = f"{account.left} against {account.right}, difference {account.difference}"
    return f"  {account.name} ({account.scope}): {sides} {account.detail}".rstrip()
