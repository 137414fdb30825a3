"""How `ticklake status` shows how fresh the datasets are and how their last days stand."""

from collections.abc import Sequence

from rich.markup import escape

from checks.condition import DatasetCondition
from ticklake import console

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
COLORS = {"available": "green", "degraded": "yellow", "pending": "cyan", "missing": "red"}


def show(found: Sequence[DatasetCondition], verbose: bool = False) -> None:
    """Print the datasets with the days that any of them has, and why a day is not available."""
    days = sorted({day.day for one in found for day in one.days})[-5:]
    console.table(
        "Datasets: how fresh they are, and in which condition their days",
        ["dataset", "newest event", "age", "landed", "age",
         *(f"{day:%m-%d}" for day in days), "missing since"],
        [
            (
                one.dataset,
                one.newest_event,
                age(one.event_age_s),
                one.newest_landing,
                age(one.landing_age_s),
                *({d.day: _colored(d.condition) for d in one.days}.get(day) for day in days),
                _since(one),
            )
            for one in found
        ],
    )  # fmt: skip
    rows = [
        (one.dataset, day.day, _colored(day.condition), escape(day.reasons))
        for one in found
        for day in (one.days if verbose else one.days[-2:])
        if day.reasons
    ]
    if rows:
        console.table(
            "Why" if verbose else "Why (of the last two days; --verbose for more)",
            ["dataset", "day", "condition", "reasons"],
            rows,
        )


def age(seconds: float | None) -> str:
    """An age in its largest unit: `408 d`, `3 h`, `20 min`, `5 s`."""
    if seconds is None:
        return ""
    whole = max(int(seconds), 0)
    unit, size = next((u, n) for u, n in _UNITS if whole >= n or n == 1)
    return f"{whole // size} {unit}"


def _colored(condition: str) -> str:
    return f"[{COLORS[condition]}]{condition}[/]"


def _since(one: DatasetCondition) -> str:
    if not one.missing_days:
        return ""
    days = "day" if one.missing_days == 1 else "days"
    return f"[red]{one.missing_since}, {one.missing_days} {days}[/]"
