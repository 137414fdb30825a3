"""How fresh each dataset is, and in which condition its last days are.

What is published knows no clock; here it is read: a dataset that stopped is missed until now, and
accounts that kept the last build from being published lower the days they speak of.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from duckdb import DuckDBPyConnection

from checks.account import Account
from checks.built import last_build
from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings


@dataclass(frozen=True)
class Day:
    """One day of a dataset: available, degraded, pending or missing, and why."""

    day: date
    condition: str
    reasons: str


@dataclass(frozen=True)
class DatasetCondition:
    """A dataset's newest moments (UTC), their ages in seconds, and its last days, oldest first.

    `missing_since` is the first of `missing_days` expected days that ended after its last one.
    """

    dataset: str
    newest_event: datetime | None
    newest_landing: datetime
    event_age_s: float | None
    landing_age_s: float
    days: list[Day] = field(default_factory=list)
    missing_since: date | None = None
    missing_days: int = 0


_DAYS = """
select dataset, day, condition, reasons
from gold.dataset_condition
qualify row_number() over (partition by dataset order by day desc) <= ?
order by dataset, day
"""

# Days that the calendars have expected since: those that are over, and the one that runs.
_SINCE = """
with lasts as (
    select dataset, max(day) as last_day from gold.dataset_condition group by dataset
),

calendars as (
    select distinct dataset, calendar from audit.landed_days
    where calendar is not null and ok_rows > 0
),

since as (
    select l.dataset, s.session_date, max(s.regular_close) + interval 5 minute <= ? as is_over
    from lasts as l
    inner join calendars as c on l.dataset = c.dataset
    inner join silver.sessions as s
        on c.calendar = s.calendar and s.is_trading_day and s.session_date > l.last_day
        and s.regular_open <= ?
    group by l.dataset, s.session_date
)

select dataset, min(session_date) filter (where is_over), count(*) filter (where is_over)
from since
group by dataset
"""

_TABLES = """
select count(*) from information_schema.tables
where table_schema || '.' || table_name in ('gold.dataset_condition', 'gold.freshness')
"""


def conditions(
    settings: Settings, now: datetime | None = None, days: int = 5
) -> list[DatasetCondition]:
    """Every dataset that has landed, with its last `days` days; `now` (UTC) is the clock.

    Empty before the first publication, and where builds leave out what analysts look at.
    """
    now = now or datetime.now(UTC)
    try:
        with lakehouse.connect(layout(settings)) as conn:
            if conn.execute(_TABLES).fetchall() != [(2,)]:
                return []
            found = _published(conn, now, days)
    except lakehouse.NothingPublished:
        return []
    return lowered(found, last_build(settings))


def _published(conn: DuckDBPyConnection, now: datetime, days: int) -> list[DatasetCondition]:
    seen: dict[str, list[Day]] = {}
    for dataset, day, condition, reasons in conn.execute(_DAYS, [days]).fetchall():
        seen.setdefault(dataset, []).append(Day(day, condition, reasons))
    since = {name: gap for name, *gap in conn.execute(_SINCE, [now, now]).fetchall()}
    fresh = conn.execute(
        "select dataset, newest_event, newest_landing from gold.freshness order by dataset"
    ).fetchall()
    return [
        DatasetCondition(
            dataset,
            event,
            landing,
            (now - event).total_seconds() if event else None,
            (now - landing).total_seconds(),
            seen.get(dataset, []),
            *since.get(dataset, (None, 0)),
        )
        for dataset, event, landing in fresh
    ]


def lowered(found: list[DatasetCondition], accounts: Iterable[Account]) -> list[DatasetCondition]:
    """The conditions with accounts of a build that was not published: its lines lower the day that
    they name, or else the newest one of the dataset."""
    stopped = [
        json.loads(account.detail) for account in accounts if account.is_open and account.detail
    ]
    return [replace(one, days=_with_accounts(one, stopped)) for one in found]


def _with_accounts(one: DatasetCondition, stopped: list[dict[str, str]]) -> list[Day]:
    lines = [line for line in stopped if _dataset_of(line) == one.dataset]
    if not lines or not one.days:
        return one.days
    known = {f"{day.day}" for day in one.days}
    newest = f"{one.days[-1].day}"
    named = [str(line.get("event_hour") or "")[:10] for line in lines]
    hit = [name if name in known else newest for name in named]
    return [_degraded(day, hit.count(f"{day.day}")) for day in one.days]


def _degraded(day: Day, lines: int) -> Day:
    if not lines:
        return day
    reason = f"{lines} lines of accounts kept the last build from being published"
    condition = "degraded" if day.condition == "available" else day.condition
    return Day(day.day, condition, "; ".join(filter(None, [day.reasons, reason])))


def _dataset_of(line: dict[str, str]) -> str:
    if "dataset" in line:
        return line["dataset"]
    if "account" in line:
        return "quotes" if line["account"] == "enriched_quotes" else "trades"
    return "orders"  # the gateway's account names none
