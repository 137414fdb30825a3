{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'gold.positions': 'from_hour',
        'gold.best_quotes': 'hour',
        'silver.trades_history': 'hour_and_next',
        'silver.trade_outliers': 'hour_and_next',
        'silver.official_closes': 'days:14',
    },
) }}

-- What each position is worth at every fill, and while it is open at the end of every
-- risk_mark_minutes of the hours in which its instrument is quoted or traded.
with moves as (
    select * from {{ from_scope_on(ref('positions')) }}
),

earlier as (
    select * from {{ before_scope(ref('positions')) }}
),

states as (
    {{ positions_since('moves', 'earlier') }}
),

quotes as (
    select * from {{ touched(ref('best_quotes')) }}
),

trades as (
    select * from {{ touched(ref('trades'), hours_back=1) }}
),

closes as (
    select * from {{ touched(ref('official_closes'), by=['instrument_id']) }}
),

points as (
    {{ risk_points('moves', 'states', 'quotes', 'trades') }}
),

marks as (
    {{ marks_at('points', 'quotes', 'trades', 'closes') }}
),

held as (
    {{ held_at('points', 'moves', 'states') }}
),

valued as (
    select
        h.*,
        {{ mark('h.price') }} as mark,
        {{ mark_source() }} as mark_source
    from held as h
    inner join marks as m on h.instrument_id = m.instrument_id and h.event_ts_ns = m.event_ts_ns
),

worth as (
    select *, {{ position_value('quantity', 'mark', 'price_multiplier') }} as position_value
    from valued
)

select
    trader_id,
    instrument_id,
    session_id,
    market_segment,
    point,
    trade_key,
    event_ts_ns,
    tie_order,
    {{ timestamp_of('event_ts_ns') }} as event_ts,
    event_hour,
    quantity,
    average_cost,
    cost,
    cash,
    realized_pnl,
    mark,
    mark_source,
    position_value,
    cast(position_value - cost as decimal(38, 12)) as unrealized_pnl,
    cast(cash + position_value as decimal(38, 12)) as total_pnl
from worth
where {{ in_scope('worth') }}
