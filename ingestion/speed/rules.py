"""What the speed layer shares with dbt: lateness, idleness, sale conditions, calendars.

All of it is read from the dbt project, so that a row is late here exactly when it is late there.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lake.project import PROJECT

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000

_SECONDS = {"1s": 1, "10s": 10, "1m": 60}


@dataclass(frozen=True)
class Width:
    """One width of candle: its windows and how far behind the newest event they stay open (ns)."""

    name: str
    ns: int
    lateness_ns: int

    @property
    def most(self) -> int:
        """How many windows of an instrument are open at most (analytics.md 6)."""
        return -(-(self.lateness_ns + self.ns) // self.ns) + 1


class Condition(NamedTuple):
    """A code of seed sale_conditions: what a print that bears it may do."""

    code: str
    sets_price: bool
    adds_volume: bool
    is_extended: bool


@dataclass(frozen=True)
class Rules:
    """Settings of the dbt project that decide what becomes of a row."""

    widths: tuple[Width, ...]
    idle_ns: int
    forms: Mapping[str, str]  # source -> form of its sale conditions
    conditions: Mapping[str, tuple[Condition, ...]]  # form -> its codes
    calendars: Mapping[str, tuple[str, ...]]  # calendar -> patterns of instruments, SQL like
    default_calendar: str
    holidays: Mapping[str, Mapping[str, str]]  # calendar -> date -> early close, empty if none


@cache
def rules() -> Rules:
    """The rules of this project; read once."""
    given = _variables()
    forms, conditions = {}, defaultdict(list)
    for row in _seed("feeds"):
        if row["dataset"] == "trades" and row["source"] != "*":
            forms[row["source"]] = row["condition_form"]
    for row in _seed("sale_conditions"):
        flags = (
            row[f"is_{name}"] == "true"
            for name in ("price_eligible", "volume_eligible", "extended")
        )
        conditions[row["form"]].append(Condition(row["code"], *flags))
    holidays: dict[str, dict[str, str]] = defaultdict(dict)
    for row in _seed("holidays"):
        holidays[row["calendar"]][row["holiday"]] = row["early_close"]
    return Rules(
        widths=tuple(
            Width(name, seconds * NS_PER_SECOND, given["lateness_ms"][name] * NS_PER_MS)
            for name, seconds in _SECONDS.items()
        ),
        idle_ns=given["idle_seconds"] * NS_PER_SECOND,
        forms=forms,
        conditions={form: tuple(codes) for form, codes in conditions.items()},
        calendars={name: tuple(patterns) for name, patterns in given["calendars"].items()},
        default_calendar=given["default_calendar"],
        holidays=holidays,
    )


def _variables() -> Mapping[str, Any]:
    import yaml

    project = yaml.safe_load(_dbt("dbt_project.yml").read_text(encoding="utf-8"))
    variables: Mapping[str, Any] = project["vars"]
    return variables


def _seed(name: str) -> list[dict[str, str]]:
    with _dbt(f"seeds/{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _dbt(path: str) -> Path:
    return PROJECT / "dbt" / path
