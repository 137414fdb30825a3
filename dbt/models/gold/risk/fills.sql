{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trade_outliers': 'none', 'silver.security_versions': 'validity'},
) }}

-- Trades that move a position: they have a trader and a side. One beyond the range of notional has
-- no value that could be added up, and moves none.
with trades as (
    select *
    from {{ touched(ref('trades')) }}
    where trader_id is not null and side is not null and notional is not null
),

securities as (
    select security_sk, market_segment
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
)

select
    t.trade_key,
    t.trader_id,
    t.instrument_id,
    coalesce(t.session_id, '') as session_id,
    t.venue,
    s.market_segment,
    t.event_ts_ns,
    t.tie_order,
    t.event_ts,
    t.event_hour,
    t.calendar,
    t.session_date,
    t.side,
    t.price,
    t.quantity,
    cast(case t.side when 'B' then t.quantity else -t.quantity end as decimal(28, 8)) as signed_quantity,
    coalesce(t.price_multiplier, cast(1 as decimal(18, 9))) as price_multiplier,
    t.notional,
    cast(t.notional * coalesce(own.fee_rate, everyone.fee_rate, 0) as decimal(38, 12)) as fees
from trades as t
left join securities as s on t.security_sk = s.security_sk
left join {{ ref('traders') }} as own on t.trader_id = own.trader_id
left join {{ ref('traders') }} as everyone on everyone.trader_id = '*'
