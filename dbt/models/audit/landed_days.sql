{{ config(by=['landed_hour']) }}

-- What each hour of landing brought, by dataset, unit and day: the session date of the instrument's
-- calendar, or the UTC date where a dataset keeps none.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
),

half_hours as (
    {% set whole = is_whole() %}
    {% for dataset in datasets() %}
        {{ landed_half_hours(dataset, whole) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

rejects as (
    {% for dataset in datasets() %}
        {{ landed_rejects(dataset, whole) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

dated as (
    select
        *,
        {{ session_date('make_timestamptz(half_hour * 1800000000)', "coalesce(calendar, 'crypto')") }} as day
    from half_hours
),

accepted as (
    select
        d.dataset, d.batch, d.unit, d.calendar, d.day,
        sum(d.ok_rows) as ok_rows,
        max(d.last_ns) as newest_ns,
        min(d.first_position) as first_position,
        min(d.first_ns) filter (
            where d.half_hour * 1800000000000 >= s.regular_open_ns
            and d.half_hour * 1800000000000 < s.regular_close_ns
        ) as first_regular_ns,
        max(d.last_ns) filter (
            where d.half_hour * 1800000000000 >= s.regular_open_ns
            and d.half_hour * 1800000000000 < s.regular_close_ns
        ) as last_regular_ns
    from dated as d
    left join {{ ref('sessions') }} as s on d.calendar = s.calendar and d.day = s.session_date
    group by d.dataset, d.batch, d.unit, d.calendar, d.day
),

-- Each day's first position opens a span; a rejected record lies in the one before it, or first.
spans as (
    select
        *,
        row_number() over (
            partition by dataset, batch, unit order by first_position, day, calendar nulls first
        ) = 1 as is_first
    from accepted
),

rejected as (
    select
        r.dataset, r.batch, r.unit,
        coalesce(n.calendar, f.calendar) as calendar,
        coalesce(n.day, f.day) as day,
        count(*) as rejected_rows
    from rejects as r
    asof left join spans as n
        on r.dataset = n.dataset and r.batch = n.batch and r.unit = n.unit
        and r.position >= n.first_position
    left join spans as f on r.dataset = f.dataset and r.batch = f.batch and r.unit = f.unit and f.is_first
    group by all
),

counted as (
    select
        dataset, batch, unit, calendar, day, ok_rows, 0 as rejected_rows, newest_ns, first_regular_ns,
        last_regular_ns
    from accepted
    union all
    select dataset, batch, unit, calendar, day, 0, rejected_rows, null, null, null
    from rejected
)

select
    c.landed_hour,
    c.dataset,
    {{ own_unit('c.unit') }} as unit,
    n.calendar,
    -- A batch of which nothing was accepted says nothing of its day but when it came.
    coalesce(n.day, cast({{ local_time('c.committed_at', "'UTC'") }} as date)) as day,
    cast(sum(n.ok_rows) as bigint) as ok_rows,
    cast(sum(n.rejected_rows) as bigint) as rejected_rows,
    cast(coalesce(sum(n.ok_rows) filter (where {{ is_replay('c.unit') }}), 0) as bigint) as replayed_rows,
    max(n.newest_ns) as newest_ns,
    min(n.first_regular_ns) as first_regular_ns,
    max(n.last_regular_ns) as last_regular_ns,
    max(c.committed_at) as landed_at
from counted as n
inner join commits as c on n.dataset = c.dataset and n.batch = c.batch and n.unit = c.unit
group by all
