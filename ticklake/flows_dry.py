"""What flows would do, as functions of plain data: they look, say it, and change nothing."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

log = logging.getLogger(__name__)


def land(
    datasets: Sequence[str] = (), days: Sequence[date | None] = (None,)
) -> list[dict[str, Any]]:
    """What a landing would take up: of the whole inbox (None) or of days of it, and of the topics.

    One entry per file of the inbox and per topic-partition: {dataset, where, waiting, note}.
    """
    from ingestion.waiting import waiting_files, waiting_topics
    from lake.settings import load_settings

    settings = load_settings()
    found = [one for day in days for one in waiting_files(settings, day, datasets)]
    found += waiting_topics(settings, datasets)
    for one in found:
        note = f" ({one.note})" if one.note else ""
        log.info("would land %s: %d from %s%s", one.dataset, one.records, one.where, note)
    if not found:
        log.info("nothing waits to be landed")
    return [
        {"dataset": one.dataset, "where": one.where, "waiting": one.records, "note": one.note}
        for one in found
    ]


def build(start: str | None, end: str | None, *, full_refresh: bool) -> dict[str, Any]:
    """What `flows.build` would recompute of what has landed.

    Returns {"dry_run": True, "published": False, "full_refresh", "days", "hours", "rows",
    "rejected"}, the last three by dataset: hours (YYYY-MM-DDTHH, UTC) of the range, or those that
    were touched since the last build of everything, with how much landed in them since.
    """
    from lake import news
    from lake.layout import layout
    from lake.records import current
    from lake.settings import load_settings
    from ticklake.flows_asked import range_told

    place = layout(load_settings())
    fresh = news.news(place, news.versions(current(place)))
    hours = {one.dataset: list(one.hours) for one in fresh}
    if start is not None and end is not None:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        hours = news.hours_of_days(place, first, last)
    told = {
        "dry_run": True,
        "published": False,
        "full_refresh": full_refresh,
        "days": range_told(start, end),
        "hours": hours,
        "rows": {one.dataset: one.rows for one in fresh},
        "rejected": {one.dataset: one.rejected for one in fresh},
    }
    _log_build(told)
    return told


def _log_build(told: Mapping[str, Any]) -> None:
    if told["full_refresh"]:
        log.info("every table would be rebuilt whole")
    for dataset, hours in told["hours"].items():
        log.info("would rebuild %s: %d hours: %s", dataset, len(hours), ", ".join(hours))
    for dataset, rows in told["rows"].items():
        log.info("new of %s: %d rows, %d rejected", dataset, rows, told["rejected"][dataset])
    if not told["hours"] and not told["rows"] and not told["full_refresh"]:
        log.info("nothing would be rebuilt: no row is new")
