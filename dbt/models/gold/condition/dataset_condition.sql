{{ config(materialized='view') }}

-- The condition of a dataset's day (features.md C4). Expected are the trading days of its calendars
-- from its own first day to the newest day of any dataset with that calendar: so one that stops is
-- missed as soon as another goes on. No clock is read: `ticklake status` looks on until now.
with days as (
    select
        dataset, day,
        sum(ok_rows) as ok_rows,
        sum(rejected_rows) as rejected_rows,
        greatest(sum(rejected_rows) - sum(replayed_rows), 0) as open_rejected_rows
    from {{ ref('landed_days') }}
    group by dataset, day
),

{{ watermarks() }},

calendars as (
    select
        dataset, calendar, min(day) as first_day,
        max(max(day)) over (partition by calendar) as last_day
    from {{ ref('landed_days') }}
    where calendar is not null and ok_rows > 0
    group by dataset, calendar
),

sessions as (
    select
        c.dataset, c.calendar, s.session_date as day, s.session_start_ns, s.session_end_ns,
        s.regular_open_ns, s.regular_close_ns
    from calendars as c
    inner join {{ ref('sessions') }} as s
        on c.calendar = s.calendar and s.is_trading_day and s.session_date between c.first_day and c.last_day
),

regular as (
    select
        dataset, calendar, day,
        min(first_regular_ns) as first_ns,
        max(last_regular_ns) as last_ns
    from {{ ref('landed_days') }}
    where calendar is not null
    group by dataset, calendar, day
),

-- Silence of the whole dataset at an edge, or through the session.
silences as (
    select
        s.dataset, s.day,
        s.dataset || ' of calendar ' || s.calendar as who,
        coalesce(
            greatest(r.first_ns - s.regular_open_ns, s.regular_close_ns - r.last_ns),
            s.regular_close_ns - s.regular_open_ns
        ) as edge_gap_ns
    from sessions as s
    left join regular as r on s.dataset = r.dataset and s.calendar = r.calendar and s.day = r.day
    where s.dataset in {{ ticking_datasets() }} and {{ opens_and_closes('s.calendar') }}
    union all
    {{ silent_instruments() }}
),

edges as (
    select
        dataset, day,
        max(edge_gap_ns) as edge_gap_ns,
        max_by(who, (edge_gap_ns, who)) as who
    from silences
    group by dataset, day
),

expected as (
    select dataset, day, max(regular_close_ns) as end_ns
    from sessions
    group by dataset, day
),

{{ open_account_lines('sessions') }},

accounts as (
    select dataset, day, sum(open_lines) as open_lines
    from open_lines
    group by dataset, day
),

numbered as (
    select dataset, session_date as day, sum(missing) as missing_messages
    from {{ ref('sequence_gaps') }}
    group by dataset, session_date
),

known as (
    select
        coalesce(e.dataset, d.dataset) as dataset,
        coalesce(e.day, d.day) as day,
        e.day is not null as is_expected,
        coalesce(d.ok_rows, 0) as ok_rows,
        coalesce(d.rejected_rows, 0) as rejected_rows,
        coalesce(d.open_rejected_rows, 0) as open_rejected_rows,
        e.end_ns
    from expected as e
    full join days as d on e.dataset = d.dataset and e.day = d.day
),

judged as (
    select
        k.*,
        w.watermark_ns,
        100.0 * cast(k.open_rejected_rows as double) / nullif(k.ok_rows + k.open_rejected_rows, 0)
            as rejected_pct,
        coalesce(a.open_lines, 0) as open_accounts,
        case when k.ok_rows > 0 then cast(g.edge_gap_ns as double) / 60000000000 end as edge_gap_minutes,
        g.who as edge_gap_of,
        coalesce(n.missing_messages, 0) as missing_messages,
        -- A day without a row waits for the newest of all datasets, as its own may have stopped.
        coalesce(
            case when k.ok_rows > 0 then w.watermark_ns else max(w.watermark_ns) over () end
            < k.end_ns + 300000000000, false
        ) as is_running
    from known as k
    left join watermarks as w on k.dataset = w.dataset
    left join accounts as a on k.dataset = a.dataset and k.day = a.day
    left join edges as g on k.dataset = g.dataset and k.day = g.day
    left join numbered as n on k.dataset = n.dataset and k.day = n.day
)

select
    dataset,
    day,
    {{ condition() }} as condition,
    {{ condition_reasons() }} as reasons,
    is_expected,
    cast(ok_rows as bigint) as ok_rows,
    cast(rejected_rows as bigint) as rejected_rows,
    cast(open_rejected_rows as bigint) as open_rejected_rows,
    rejected_pct,
    cast(open_accounts as bigint) as open_accounts,
    edge_gap_minutes,
    cast(missing_messages as bigint) as missing_messages,
    {{ timestamp_of('watermark_ns') }} as watermark,
    {{ timestamp_of('end_ns') }} as day_end
from judged
