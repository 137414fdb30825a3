"""What a run was asked for, judged before anything runs: what no form can say by itself.

Each function is a flow's first task. It raises AirflowFailException, so that a wrong question is
answered at once and not after the retries; the message says what, where and what to do.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from contracts.names import dataset_names

log = logging.getLogger(__name__)

TRIGGERED = "manual"
"""Airflow's run type of a run started by hand; the others take their day from the schedule."""

Interval = tuple[datetime | None, datetime | None]


def days(
    params: Mapping[str, Any], interval: Interval, run_type: str, today: date | None = None
) -> dict[str, Any]:
    """The days a run of `day` is for, from its params `day`, `from`, `to` and `datasets`.

    Returns {"start": "YYYY-MM-DD", "end": the day after the last, "days": in words, "dry_run"}.
    """
    from ticklake.flow_errors import final_errors

    with final_errors():
        _known(params.get("datasets") or ())
        named = (params.get("day"), params.get("from"), params.get("to"))
        start, end = days_of(named, interval, run_type, today)
    told = range_told(start.isoformat(), end.isoformat())
    log.info("the run is for %s (UTC)", told)
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "days": told,
        "dry_run": bool(params.get("dry_run")),
    }


def days_of(
    named: tuple[str | None, str | None, str | None],
    interval: Interval,
    run_type: str,
    today: date | None = None,
) -> tuple[date, date]:
    """The days a run is for, UTC, the second excluded.

    `named` are the day, or the first and the last day of a range, both included as in Airflow's
    backfills (YYYY-MM-DD). They are for runs started by hand and win there; otherwise the data
    interval says it; a run started by hand with neither is for yesterday. `today` is for tests.
    Raises ValueError on what does not go together, on a day that has not begun, and on a day given
    to a backfill: it would do the same day over and over.
    """
    today = today or datetime.now(UTC).date()
    if any(text is not None for text in named):
        if run_type != TRIGGERED:
            raise ValueError(
                f"a {run_type} run takes its day from its range; leave `day`, `from` and `to` empty"
            )
        first, end = _named(*named)
    elif interval[0] is not None and interval[1] is not None:
        first = interval[0].astimezone(UTC).date()
        end = max(_day_at_or_after(interval[1]), first + timedelta(days=1))
    else:
        first, end = today - timedelta(days=1), today
    last = max(first, end - timedelta(days=1)) if named[1] is not None else first
    _begun(last, today)
    return first, end


def judged_days(
    day: str | None,
    tables: Sequence[str] = (),
    closed: Iterable[Mapping[str, Any]] = (),
    today: date | None = None,
) -> dict[str, Any]:
    """What a run of `reconcile` judges: {"days": [YYYY-MM-DD], "tables": [schema.name]}.

    `day` wins over `closed`, the events ({"from", "to"}, both included) of the days that started
    the run; with neither every day counts, and "days" is empty. Tables that are not published are
    refused, and so is a lake without a publication.
    """
    from checks.expectations.published import chosen
    from lake.settings import load_settings
    from ticklake.flow_errors import final_errors

    with final_errors():
        if day is not None:
            _begun(date_of("day", day), today or datetime.now(UTC).date())
        chosen(load_settings(), tables)
    found = {day} if day is not None else {one for event in closed for one in _days_in(event)}
    log.info("judged: %s", ", ".join(sorted(found)) or "every day")
    return {"days": sorted(found), "tables": list(tables)}


def since(text: str | None, now: datetime | None = None) -> str | None:
    """The moment from which on `replay_quarantine` looks, as it was given; it must have been."""
    from ticklake.flow_errors import final_errors

    with final_errors():
        moment = moment_of(text)
        if moment is not None and moment > (now or datetime.now(UTC)):
            raise ValueError(
                f"`since` {text} lies in the future, nothing has landed after it; choose a moment "
                "that has been, or leave it empty"
            )
    return text


def moment_of(text: str | None) -> datetime | None:
    """An ISO-8601 moment, UTC where it has no offset; None for nothing. Raises ValueError."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def range_told(start: str | None, end: str | None) -> str | None:
    """Days in words, `end` excluded: `2025-10-01`, or `2025-10-01 to 2025-10-05` with both ends."""
    if start is None or end is None:
        return None
    last = (date.fromisoformat(end) - timedelta(days=1)).isoformat()
    return start if last == start else f"{start} to {last}"


def date_of(name: str, text: str) -> date:
    """The date that a param holds. Raises ValueError naming it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"`{name}` must be a date, YYYY-MM-DD, for example 2013-10-08; got {text!r}"
        ) from None


def _named(day: str | None, first: str | None, last: str | None) -> tuple[date, date]:
    if day is not None:
        if first is not None or last is not None:
            raise ValueError("`day` is one day, `from` and `to` are a range: give one of them")
        one = date_of("day", day)
        return one, one + timedelta(days=1)
    if first is None or last is None:
        given, missing = ("`to`", "`from`") if first is None else ("`from`", "`to`")
        raise ValueError(
            f"{given} without {missing}: a range has both ends, and both are included; for one day "
            "give `day`"
        )
    begin, until = date_of("from", first), date_of("to", last)
    if until < begin:
        raise ValueError(f"`to` {until} lies before `from` {begin}: swap them")
    return begin, until + timedelta(days=1)


def _days_in(event: Mapping[str, Any]) -> Iterator[str]:
    if "from" not in event or "to" not in event:  # made by hand, in the interface
        return
    first, last = date.fromisoformat(event["from"]), date.fromisoformat(event["to"])
    for number in range((last - first).days + 1):
        yield (first + timedelta(days=number)).isoformat()


def _begun(day: date, today: date) -> None:
    if day > today:
        raise ValueError(f"{day} has not begun (it is {today} UTC); choose a day up to today")


def _known(datasets: Sequence[str]) -> None:
    strange = sorted(set(datasets) - set(dataset_names()))
    if strange:
        raise ValueError(
            f"no dataset {', '.join(strange)}; there are: {', '.join(dataset_names())}"
        )


def _day_at_or_after(moment: datetime) -> date:
    moment = moment.astimezone(UTC)
    whole = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.date() if moment == whole else moment.date() + timedelta(days=1)
