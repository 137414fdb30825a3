"""How days stand once they are closed, as functions of plain data: condition and profile."""

import logging
from collections.abc import Sequence
from datetime import date
from typing import Any

log = logging.getLogger(__name__)


def condition(days: Sequence[str] = ()) -> dict[str, Any]:
    """The condition of each dataset's days (YYYY-MM-DD), or of the last ones if none is named.

    Never fails for a condition: it says whether numbers may be used, the accounts say whether they
    are right. Returns {day: {dataset: condition}}; what is not available is logged with its reason.
    """
    from checks.condition import conditions
    from lake.settings import load_settings
    from ticklake.flow_errors import final_errors

    with final_errors():
        found = conditions(load_settings(), days=_MOST_DAYS if days else 5)
    told: dict[str, Any] = {}
    for one in found:
        for stands in one.days:
            if days and f"{stands.day}" not in days:
                continue
            told.setdefault(f"{stands.day}", {})[one.dataset] = stands.condition
            if stands.condition != "available":
                known = (one.dataset, stands.day, stands.condition, stands.reasons)
                log.warning("%s of %s is %s: %s", *known)
    log.info("%d days of %d datasets looked at", len(told), len(found))
    return told


def profile(days: Sequence[str] = ()) -> list[str]:
    """Write the page of gaps, outliers and completeness of each day; returns links to the pages.

    Without days, of the newest one. A day without trades and quotes has no page.
    """
    from checks.profile.facts import NoProfile, facts
    from checks.profile.page import page
    from checks.profile.pictures import pictures
    from lake.settings import load_settings
    from ticklake.flow_errors import final_errors

    links = []
    with final_errors():
        settings = load_settings()
        asked: Sequence[date | None] = [date.fromisoformat(day) for day in days] or [None]
        for day in asked:
            try:
                found = facts(settings, day)
            except NoProfile as error:
                log.info("no profile of %s: %s", day or "any day", error)
                continue
            target = settings.local / "profile" / f"{found.day}.html"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page(found, pictures(found)), encoding="utf-8")
            links.append(target.as_uri())
            log.info("profile of %s: %s", found.day, links[-1])
    return links


_MOST_DAYS = 100_000
