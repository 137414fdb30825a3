{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.best_quotes': 'hour_before', 'silver.trade_outliers': 'none'},
) }}

-- Notional, cash and P&L of every trade that has a side (analytics.md 17): what its fill realized,
-- and how the market moved in the minute after it.
with trades as (
    select *, event_ts_ns + 60000000000 as minute_later_ns
    from {{ touched(ref('trades')) }}
    where side is not null
),

fills as (
    select trade_key, fees, realized_by_fill from {{ touched(ref('positions')) }}
),

quotes as (
    select
        instrument_id,
        valid_from_ns,
        valid_to_ns,
        cast((best_bid + best_offer) * cast(0.5 as decimal(2, 1)) as decimal(28, 10)) as mid
    from {{ touched(ref('best_quotes'), hours_after=1) }}
    where is_two_sided
),

marked as (
    {{ as_of('trades', 'quotes', 'valid_from_ns', ['mid', 'valid_to_ns'], at='minute_later_ns') }}
),

signed as (
    select
        *,
        case side when 'B' then 1 else -1 end as sign,
        coalesce(price_multiplier, cast(1 as decimal(18, 9))) as multiplier,
        case when minute_later_ns < valid_to_ns then mid end as mid_60s
    from marked
)

select
    t.trade_key,
    t.trade_id,
    t.instrument_id,
    t.venue,
    t.trader_id,
    t.event_ts,
    t.event_ts_ns,
    t.tie_order,
    t.event_hour,
    t.session_date,
    t.side,
    t.price,
    t.quantity,
    t.multiplier as price_multiplier,
    t.notional,
    coalesce(f.fees, 0) as fees,
    cast(-t.sign * t.notional - coalesce(f.fees, 0) as decimal(38, 12)) as signed_cashflow,
    coalesce(f.realized_by_fill, 0) as realized_pnl,
    t.mid_60s,
    cast(
        {{ position_value('t.sign * t.quantity', 't.mid_60s - t.price', 't.multiplier') }}
        as decimal(38, 12)
    ) as mtm_delta
from signed as t
left join fills as f on t.trade_key = f.trade_key
