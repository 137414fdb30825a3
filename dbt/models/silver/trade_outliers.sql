{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'session', 'silver.official_closes': 'next_session'},
) }}

-- Prints that stray from their reference (analytics.md 5), flagged, not deleted. A row whose
-- `is_outlier` is false was un-flagged: ten or more in a row agree on a new level.
with trades as (
    select
        trade_key, instrument_id, event_hour, session_date, coalesce(session_id, '') as session_id,
        event_ts_ns, tie_order, price
    from {{ touched(ref('trades_history')) }} as t
    where t.state = 'current' and {{ trade_filter('t') }}
),

ranges as (
    select instrument_id, session_date, max(price) as highest, min(price) as lowest
    from trades
    group by instrument_id, session_date
),

sessions as (
    select
        coalesce(r.instrument_id, c.instrument_id) as instrument_id,
        coalesce(r.session_date, c.session_date) as session_date,
        r.highest,
        r.lowest,
        last_value(c.official_close ignore nulls) over (
            partition by coalesce(r.instrument_id, c.instrument_id)
            order by coalesce(r.session_date, c.session_date)
            rows between unbounded preceding and 1 preceding
        ) as previous_close
    from ranges as r
    full join {{ touched(ref('official_closes'), by=['instrument_id']) }} as c
        on r.instrument_id = c.instrument_id and r.session_date = c.session_date
),

-- A session whose extremes lie within the limit holds no outlier: nothing has to be sorted there.
suspected as (
    select t.*, s.previous_close
    from trades as t
    inner join sessions as s on t.instrument_id = s.instrument_id and t.session_date = s.session_date
    where
        cast(greatest(s.highest, s.previous_close) as decimal(38, 9)) * 100
        > cast(least(s.lowest, s.previous_close) as decimal(38, 9)) * (100 + {{ var('outlier_pct') }})
),

referred as (
    select
        *,
        {{ prior_prices() }}
    from suspected
    window
        prior as (
            partition by instrument_id, session_date, session_id
            order by event_ts_ns, tie_order
            rows between {{ var('outlier_window') }} preceding and 1 preceding
        )
),

judged as (
    select *, {{ strays() }} as strays
    from referred
),

-- Runs of flags, each print with its place in the run.
runs as (
    select
        *,
        row_number() over session_order - row_number() over (
            partition by instrument_id, session_date, session_id, strays order by event_ts_ns, tie_order
        ) as run
    from judged
    window session_order as (
        partition by instrument_id, session_date, session_id order by event_ts_ns, tie_order
    )
    qualify strays
),

heads as (
    select
        instrument_id, session_date, session_id, run,
        max(event_ts_ns) - min(event_ts_ns) <= 60000000000
        and cast(max(price) as decimal(38, 9)) * 100 <= cast(min(price) as decimal(38, 9)) * 105
        and count(*) = 10 as is_new_level
    from (
        select
            *,
            row_number() over (
                partition by instrument_id, session_date, session_id, run order by event_ts_ns, tie_order
            ) as place
        from runs
    )
    where place <= 10
    group by instrument_id, session_date, session_id, run
)

select
    r.trade_key,
    r.instrument_id,
    r.event_hour,
    r.session_date,
    r.event_ts_ns,
    r.price,
    {{ reference_price('r') }} as ref_price,
    {{ ratio('r.price', reference_price('r')) }} * 100 - 100 as deviation_pct,
    r.prior_count,
    '{{ var("outlier_method") }}' as outlier_method,
    not h.is_new_level as is_outlier
from runs as r
inner join heads as h
    on r.instrument_id = h.instrument_id and r.session_date = h.session_date
    and r.session_id = h.session_id and r.run = h.run
