{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'hour_and_next', 'silver.trade_outliers': 'none'},
) }}

with trades as (
    select * from {{ touched(ref('trades'), hours_back=1) }}
    where session_type = 'regular' and {{ trade_filter() }}
),

-- The minute (t - 60 s, t], trades of the same nanosecond included whatever their order.
summed as (
    select
        trade_key,
        instrument_id,
        event_hour,
        event_ts,
        event_ts_ns,
        tie_order,
        session_date,
        count(*) over minute as trades_60s,
        sum(quantity) over minute as shares_60s,
        sum(notional) over minute as notional_60s
    from trades
    window minute as (
        partition by instrument_id order by event_ts_ns
        range between 59999999999 preceding and current row
    )
)

select
    trade_key,
    instrument_id,
    event_hour,
    event_ts,
    event_ts_ns,
    tie_order,
    session_date,
    cast(trades_60s as bigint) as trades_60s,
    cast(shares_60s as decimal(38, 8)) as shares_60s,
    cast(notional_60s as decimal(38, 12)) as notional_60s,
    {{ ratio('trades_60s', 60) }} as trades_per_s,
    {{ ratio('shares_60s', 60) }} as shares_per_s,
    {{ ratio('notional_60s', 60) }} as notional_per_s
from summed
where {{ in_scope('summed') }}
