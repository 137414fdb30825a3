"""What the DAGs do, as functions: call the rooms, log the outcome, return it as plain data.

A DAG file holds schedule and params only; its tasks call these. Whatever they return is made of
dicts, lists, strings and numbers, fit for an XCom. An error that trying again cannot mend is
raised as AirflowFailException, so that the desk hears of it at once and not after the retries.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ticklake.flow_errors import AccountsOpen, CandlesDrift, final_errors

if TYPE_CHECKING:
    from checks.reconcile import Account
    from ingestion.land import Landing

log = logging.getLogger(__name__)

TRIGGERED = "manual"
"""Airflow's run type of a run started by hand; the others take their day from the schedule."""


def days_of(
    day: str | None,
    interval: tuple[datetime | None, datetime | None],
    run_type: str,
    today: date | None = None,
) -> tuple[date, date]:
    """The days a run is for, UTC, the second excluded.

    `day` (YYYY-MM-DD) is for runs started by hand and wins there; otherwise the data interval
    says it; a run started by hand with neither is for yesterday. `today` is for tests.
    Raises ValueError on a day that has not begun, and on a `day` given to a backfill: it would
    do the same day over and over.
    """
    today = today or datetime.now(UTC).date()
    if day is not None:
        if run_type != TRIGGERED:
            raise ValueError(f"a {run_type} run takes its day from its range; leave `day` empty")
        first, end = _one_day(_date(day))
    elif interval[0] is not None and interval[1] is not None:
        first = interval[0].astimezone(UTC).date()
        end = max(_day_at_or_after(interval[1]), first + timedelta(days=1))
    else:
        first, end = _one_day(today - timedelta(days=1))
    if first > today:
        raise ValueError(f"{first} has not begun (it is {today} UTC); choose a day up to today")
    return first, end


def land(datasets: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Land what lies in the inbox, then in the topics that no resident process holds.

    `datasets` empty means all of them. One entry per dataset and way in.
    """
    from ingestion.land import land_inbox, land_topics
    from lake.settings import load_settings

    with final_errors():
        settings = load_settings()
        landings = [*land_inbox(settings), *land_topics(settings, tuple(datasets))]
    return _told(landings)


def land_day(
    day: str | None,
    interval: tuple[datetime | None, datetime | None],
    run_type: str,
    datasets: Sequence[str] = (),
) -> dict[str, Any]:
    """Choose the run's days (see `days_of`), land their inbox units, catch up with the topics.

    Returns {"start": "YYYY-MM-DD", "end": the day after the last, "landed": as `land`}.
    """
    from ingestion.land import land_inbox, land_topics
    from lake.settings import load_settings

    with final_errors():
        start, end = days_of(day, interval, run_type)
        settings = load_settings()
        landings: list[Landing] = []
        for offset in range((end - start).days):
            landings += land_inbox(settings, day=start + timedelta(days=offset))
        landings += land_topics(settings, tuple(datasets))
    return {"start": start.isoformat(), "end": end.isoformat(), "landed": _told(landings)}


def build(
    start: str | None = None, end: str | None = None, *, full_refresh: bool = False
) -> dict[str, Any]:
    """Build what was touched, or the days `start`..`end` (excluded) whole, and publish it.

    Days are YYYY-MM-DD, as they come out of `land_day`.

    Raises AirflowFailException when a model or an invariant test fails.
    """
    from lake.build import build
    from lake.settings import load_settings

    with final_errors():
        built = build(
            load_settings(),
            start=None if start is None else date.fromisoformat(start),
            end=None if end is None else date.fromisoformat(end),
            full_refresh=full_refresh,
        )
    for warning in built.warnings:
        log.warning("%s", warning)
    shown = f"publication {built.publication}" if built.published else "nothing new to publish"
    log.info("build %s: %d models, %s", built.build_id, len(built.models), shown)
    told: dict[str, Any] = json.loads(json.dumps(asdict(built), default=str))
    return told


def reconcile(*, quick: bool = False) -> dict[str, Any]:
    """Judge the accounts, from the broker to what is published.

    With `quick` published files are counted and not read.

    Raises AirflowFailException naming the accounts that do not close.
    """
    from checks.reconcile import reconcile
    from lake.settings import load_settings

    with final_errors():
        accounts = reconcile(load_settings(), quick=quick)
        unbalanced = [account for account in accounts if account.difference != 0]
        if unbalanced:
            lines = "\n".join(_line(account) for account in unbalanced)
            raise AccountsOpen(f"{len(unbalanced)} accounts do not close:\n{lines}")
    log.info("%d accounts close", len(accounts))
    return {"accounts": len(accounts), "open": 0}


def drift(day: str | None = None) -> dict[str, Any]:
    """Judge speed candles against batch candles, of one UTC day (YYYY-MM-DD) or of all.

    Without windows to compare, as in a lake without a speed layer, nothing fails.
    Raises AirflowFailException naming the runs beyond their limits.
    """
    from checks.drift import drift
    from lake.settings import load_settings

    with final_errors():
        found = drift(load_settings(), None if day is None else _date(day))
        failed = [run for run in found.runs if not run.passed]
        if failed:
            lines = "\n".join(f"  {run.told()}" for run in failed)
            raise CandlesDrift(f"{len(failed)} runs drift:\n{lines}")
    log.info("%d runs of candles are within their limits", len(found.runs))
    return {"runs": len(found.runs), "failed": 0, "windows": len(found.windows)}


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


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"`day` must be a date, YYYY-MM-DD, for example 2013-10-08; got {text!r}"
        ) from None


def _one_day(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _day_at_or_after(moment: datetime) -> date:
    moment = moment.astimezone(UTC)
    whole = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.date() if moment == whole else moment.date() + timedelta(days=1)
