{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'session'},
) }}

-- The official close of a session (analytics.md 0.2): the largest closing cross after the regular
-- session, else the last print that may set a price in it. `event_hour` is the session's first.
with prints as (
    select
        t.instrument_id,
        t.calendar,
        t.session_date,
        t.price,
        t.quantity,
        t.event_ts_ns,
        t.tie_order,
        t.session_type = 'regular' as is_regular,
        t.is_cross and t.event_ts_ns >= s.regular_close_ns as is_closing_cross
    from {{ touched(ref('trades_history')) }} as t
    inner join {{ ref('sessions') }} as s
        on t.calendar = s.calendar and t.session_date = s.session_date
    where t.state = 'current' and t.is_price_eligible
),

closes as (
    select
        instrument_id,
        calendar,
        session_date,
        max_by(price, (quantity, -event_ts_ns, -tie_order)) filter (where is_closing_cross) as cross_price,
        max_by(price, (event_ts_ns, tie_order)) filter (where is_regular) as last_price
    from prints
    group by instrument_id, calendar, session_date
)

select
    instrument_id,
    {{ session_start() }} as event_hour,
    session_date,
    coalesce(cross_price, last_price) as official_close,
    cross_price is not null as is_cross
from closes
where coalesce(cross_price, last_price) is not null
