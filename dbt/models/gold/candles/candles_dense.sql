{{ config(materialized='view') }}

-- Candles of one minute without holes (analytics.md 2, D08): from the first trade of a session to
-- its end, a minute without trades repeats the close before it, with volume 0.
with candles as (
    select *, {{ calendar_of() }} as calendar from {{ ref('candles_1m') }}
),

spans as (
    select
        c.instrument_id,
        c.venue,
        c.session_scope,
        c.session_date,
        min(c.window_start) filter (where c.close is not null) as first_window,
        max(case when c.session_scope = 'regular' then s.regular_close else s.extended_close end) as span_end
    from candles as c
    inner join {{ ref('sessions') }} as s
        on c.calendar = s.calendar and c.session_date = s.session_date
    group by c.instrument_id, c.venue, c.session_scope, c.session_date
),

minutes as (
    select
        instrument_id, venue, session_scope, session_date,
        {{ every('minute', 'first_window', 'span_end - interval 1 minute') }} as window_start
    from spans
),

filled as (
    select
        m.*,
        c.open,
        c.high,
        c.low,
        c.close,
        c.volume,
        c.trade_count,
        c.vwap,
        last_value(c.close ignore nulls) over (
            partition by m.instrument_id, m.venue, m.session_scope, m.session_date
            order by m.window_start
        ) as carried
    from minutes as m
    left join candles as c
        on m.instrument_id = c.instrument_id and m.venue = c.venue
        and m.session_scope = c.session_scope and m.session_date = c.session_date
        and m.window_start = c.window_start
)

select
    instrument_id,
    venue,
    session_scope,
    session_date,
    window_start,
    coalesce(open, carried) as open,
    coalesce(high, carried) as high,
    coalesce(low, carried) as low,
    coalesce(close, carried) as close,
    coalesce(volume, 0) as volume,
    coalesce(trade_count, 0) as trade_count,
    vwap,
    trade_count is null as is_filled
from filled
