"""What the profile shows: aggregated in DuckDB, so that its size does not follow the lake's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
from duckdb import DuckDBPyConnection

from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings

SHOWN = 20  # instruments in a picture: the largest, and the least complete
DRAWN = 6  # instruments whose day is drawn in full
DAYS = 40  # newest days in a calendar
LONGEST = 150  # gaps marked in a picture of a day


class NoProfile(ValueError):
    """There is nothing to profile; the message says why and what to do."""


@dataclass(frozen=True)
class Facts:
    """Frames behind the pictures.

    `largest` are the instruments with most trades, then quotes, of the day; `drawn` the first of
    those that trade; `worst` lack most, of those that usually tick.
    """

    day: date
    publication: int
    published_at: str
    largest: Sequence[str]
    worst: Sequence[str]
    drawn: Sequence[str]
    conditions: pl.DataFrame
    instruments: pl.DataFrame
    completeness: pl.DataFrame
    activity: pl.DataFrame
    gaps: pl.DataFrame
    prices: pl.DataFrame
    outliers: pl.DataFrame
    lateness: pl.DataFrame
    rejected: pl.DataFrame
    volume: pl.DataFrame


_INSTRUMENTS = """
select * exclude (calendar, session_date), calendar
from audit.profile_days
where session_date = $day
order by trades desc, quotes desc, instrument_id
"""

# Years without anything, between two histories, are not shown.
_CONDITIONS = """
with landed as (select distinct day from gold.dataset_condition where ok_rows + rejected_rows > 0)

select dataset, strftime(day, '%Y-%m-%d') as day, condition,
    if(reasons = '', 'nothing to say', reasons) as reasons, ok_rows, rejected_rows
from gold.dataset_condition
where day in (
    select distinct c.day
    from gold.dataset_condition as c
    inner join landed as l on c.day between l.day - 7 and l.day + 7
    where c.day <= $day
    order by c.day desc
    limit $days
)
order by dataset, day
"""

_WORST = """
select instrument_id
from audit.profile_days
where session_date between $day::date - 30 and $day::date and expected_minutes > 0
group by instrument_id
having avg(trades + quotes) >= 20 and count(*) filter (where session_date = $day) > 0
order by max(coalesce(completeness_pct, quote_completeness_pct)) filter (where session_date = $day),
    instrument_id
limit $shown
"""

_COMPLETENESS = """
select instrument_id, strftime(session_date, '%Y-%m-%d') as day, minutes_traded, minutes_quoted,
    expected_minutes, coalesce(completeness_pct, quote_completeness_pct) as complete_pct
from audit.profile_days
where instrument_id in (select unnest($names)) and expected_minutes > 0
    and session_date between $day::date - 60 and $day::date
qualify dense_rank() over (order by session_date desc) <= 20
order by instrument_id, session_date
"""

_ACTIVITY = """
select instrument_id, time_bucket(interval 5 minute, event_ts) as moment, count(*) as trades,
    time_bucket(interval 5 minute, event_ts) + interval 5 minute as until
from silver.trades
where instrument_id in (select unnest($names)) and session_date = $day
group by all
order by all
"""

_GAPS = """
select instrument_id, gap_start, gap_end, gap_ms / 1000 as seconds, gap_kind
from silver.trade_gaps
where instrument_id in (select unnest($names)) and session_date = $day
    and (gap_kind = 'trade' or gap_kind = 'edge_gap' and calendar <> 'corporate_bond')
    and threshold_ms = (select max(threshold_ms) from silver.trade_gaps where gap_kind <> 'candle')
order by gap_ms desc, instrument_id, gap_start
limit $longest
"""

_PRICES = """
select instrument_id, window_start as moment, close::double as price
from gold.candles_1m
where instrument_id in (select unnest($names)) and session_date = $day
    and venue = 'ALL' and session_scope = 'all' and close is not null
order by all
"""

_OUTLIERS = """
select instrument_id, make_timestamptz(event_ts_ns // 1000) as moment, price::double as price,
    ref_price::double as reference, deviation_pct::double as deviation_pct
from silver.trade_outliers
where instrument_id in (select unnest($names)) and session_date = $day and is_outlier
order by abs(deviation_pct) desc, instrument_id, event_ts_ns
limit 500
"""

# Decades of lateness, each with the widest candle that the trades were too late for.
_LATENESS = """
select
    case
        when lateness_ms < 10 then '1 under 10 ms'
        when lateness_ms < 100 then '2 10 to 100 ms'
        when lateness_ms < 1000 then '3 0.1 to 1 s'
        when lateness_ms < 10000 then '4 1 to 10 s'
        when lateness_ms < 60000 then '5 10 to 60 s'
        else '6 a minute and more'
    end as lateness,
    case
        when late_1m then 'too late for its minute'
        when late_10s then 'too late for its 10 s'
        when late_1s then 'too late for its second'
        else 'out of order, in time'
    end as missed,
    count(*) as trades
from silver.late_trades as l
inner join (
    select instrument_id, min(event_hour) as first_hour, max(event_hour) as last_hour
    from audit.profile_hours where session_date = $day group by instrument_id
) as d on l.instrument_id = d.instrument_id and l.event_hour between d.first_hour and d.last_hour
group by all
order by all
"""

# A commit's codes stand in each row of its units: they count once.
_REJECTED = """
with commits as (
    select distinct dataset, version, from_json(rejected_by_code, '"MAP(VARCHAR, BIGINT)"') as codes
    from ledger.commits
    where rejected > 0
),

counted as (select dataset, unnest(map_entries(codes)) as code from commits)

select dataset, code.key as code, sum(code.value)::bigint as rows
from counted
group by all
order by rows desc, dataset, code
limit 25
"""

_VOLUME = """
with halves as (
    select time_bucket(interval 30 minute, window_start) as moment, calendar_date = $day as is_day,
        calendar_date, sum(notional)::double as notional
    from (
        select window_start, notional, session_date as calendar_date from gold.candles_1m
        where venue = 'ALL' and session_scope = 'all'
            and session_date between $day::date - 30 and $day::date
    )
    group by all
),

shares as (
    select strftime(moment, '%H:%M') as half_hour, is_day,
        notional / nullif(sum(notional) over (partition by calendar_date), 0) as share
    from halves
)

select half_hour, is_day, avg(share) * 100 as share_pct
from shares
group by all
order by all
"""


def facts(settings: Settings, day: date | None = None) -> Facts:
    """What is known of one session date, the newest with trades or quotes if none is named.

    Raises NoProfile if the day or the tables of the profile are not there, and
    lake.lakehouse.NothingPublished before the first publication.
    """
    with lakehouse.connect(layout(settings)) as conn:
        day = _day(conn, day)

        def ask(sql: str, **given: object) -> pl.DataFrame:
            return pl.DataFrame(conn.sql(sql, params=given).to_arrow_table())

        instruments = ask(_INSTRUMENTS, day=day)
        active = instruments.filter(pl.col("trades") + pl.col("quotes") > 0)
        largest = active["instrument_id"].head(SHOWN).to_list()
        worst = ask(_WORST, day=day, shown=SHOWN)["instrument_id"].to_list()
        drawn = active.filter(pl.col("trades") > 0)["instrument_id"].head(DRAWN).to_list()
        both = sorted({*largest, *worst})
        ((number, published_at),) = conn.execute(
            "select number, strftime(published_at, '%Y-%m-%d %H:%M') from audit.publication"
        ).fetchall()
        return Facts(
            day=day,
            publication=number,
            published_at=published_at,
            largest=largest,
            worst=worst,
            drawn=drawn,
            conditions=ask(_CONDITIONS, day=day, days=DAYS),
            instruments=instruments,
            completeness=ask(_COMPLETENESS, names=both, day=day),
            activity=ask(_ACTIVITY, names=drawn, day=day),
            gaps=ask(_GAPS, names=drawn, day=day, longest=LONGEST),
            prices=ask(_PRICES, names=drawn, day=day),
            outliers=ask(_OUTLIERS, names=drawn, day=day),
            lateness=ask(_LATENESS, day=day),
            rejected=ask(_REJECTED),
            volume=ask(_VOLUME, day=day),
        )


def _day(conn: DuckDBPyConnection, day: date | None) -> date:
    tables = conn.execute(
        "select count(*) from information_schema.tables where table_name = 'profile_days'"
    ).fetchall()
    if tables == [(0,)]:
        raise NoProfile(
            "what is published has no audit.profile_days: build with TICKLAKE_MODELS=all"
        )
    first, last, hit = conn.execute(
        "select min(session_date), max(session_date), count(*) filter (where session_date = ?) "
        "from audit.profile_days where trades + quotes > 0",
        [day],
    ).fetchall()[0]
    if last is None:
        raise NoProfile("no trade or quote is published yet: land some, then `ticklake build`")
    if day is not None and not hit:
        raise NoProfile(f"nothing traded or was quoted on {day}: days go from {first} to {last}")
    return day or last
