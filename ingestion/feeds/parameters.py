"""What a file's name, or whoever lands it, says about all of its rows."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from ingestion.feeds.mapping import DATE, Feed, FeedError, FileNameRule, FileRefused

YEARS = range(1990, 2262)  # from the earliest event time taken to what ns since epoch can hold


def resolve(feed: Feed, names: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of one file: those given, else what its names say (the first that matches).

    Values are text, a date as YYYY-MM-DD. Raises FileRefused when one that is needed is missing.
    """
    known = feed.parameters()
    if set(given) - known:
        takes = ", ".join(sorted(known)) or "none"
        raise FeedError(
            f"feed {feed.name} has no parameter {', '.join(sorted(set(given) - known))}; "
            f"it takes: {takes}"
        )
    rule = feed.file_name
    if rule is None:
        return {}
    said = next((found for name in names if (found := rule.read(name))), {})
    resolved = {name: str(value) for name, value in {**said, **given}.items()}
    for name in rule.upper:
        if name in resolved:
            resolved[name] = resolved[name].upper()
    _check_all_there(feed, names, resolved)
    if DATE in resolved:
        resolved[DATE] = _read_date(given.get(DATE, said.get(DATE)), rule, names).isoformat()
    return resolved


def _check_all_there(feed: Feed, names: tuple[str, ...], resolved: dict[str, str]) -> None:
    needed = {column.name for column in feed.contract.columns if column.never_null}
    if feed.time.kind == "midnight":
        needed.add(DATE)
    missing = sorted(needed & feed.parameters() - set(resolved))
    if missing and feed.file_name:
        raise FileRefused(
            f"{names[-1]}: feed {feed.name} takes {', '.join(missing)} from the file's name, which "
            f"should match one of {list(feed.file_name.patterns)}; rename the file or give it"
        )


def _read_date(value: Any, rule: FileNameRule, names: tuple[str, ...]) -> date:
    if isinstance(value, date):
        return value
    for form in (rule.date_format, "%Y-%m-%d"):
        try:
            day = datetime.strptime(str(value), form).date()
        except ValueError:
            continue
        if day.year in YEARS:
            return day
    raise FileRefused(
        f"{names[-1]}: '{value}' is not a date from {YEARS[0]} to {YEARS[-1]} "
        f"written as {rule.date_format} or %Y-%m-%d"
    )
