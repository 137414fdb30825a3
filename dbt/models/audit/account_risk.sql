{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trade_outliers': 'none'},
) }}

-- silver = gold + excluded by reason, per instrument and hour, of what is made from fills: positions
-- take trades that have a trader, a side and a value; trade_pnl those that have a side. And
-- `position_change`: what the positions of an hour moved by is what its fills bought less what they sold.
{% set reasons = ['no_trader', 'no_side', 'no_notional'] %}

with trades as (
    select
        *,
        case
            when trader_id is null then 'no_trader'
            when side is null then 'no_side'
            when notional is null then 'no_notional'
        end as excluded_by,
        case side when 'B' then quantity else -quantity end as signed_quantity
    from {{ touched(ref('trades')) }}
),

silver as (
    select
        'positions' as account, instrument_id, event_hour, 'ALL' as venue,
        count(*) as n, sum(quantity) as quantity, sum(notional) as notional,
        {{ sums_by_reason(reasons) }}
    from trades
    group by all
    union all
    select
        'trade_pnl', instrument_id, event_hour, 'ALL', count(*), sum(quantity), sum(notional),
        0, 0, 0,
        count(*) filter (where side is null),
        coalesce(sum(quantity) filter (where side is null), 0),
        coalesce(sum(notional) filter (where side is null), 0),
        0, 0, 0
    from trades
    group by all
    union all
    select
        'position_change', instrument_id, event_hour, 'ALL', 0, sum(signed_quantity), 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0
    from trades
    where excluded_by is null
    group by all
),

moved as (
    select
        instrument_id, event_hour, trader_id, session_id,
        max_by(quantity_after, (event_ts_ns, tie_order))
        - min_by(quantity_after - signed_quantity, (event_ts_ns, tie_order)) as quantity
    from {{ touched(ref('positions')) }}
    group by all
),

gold as (
    select
        'positions' as account, instrument_id, event_hour, 'ALL' as venue,
        count(*) as n, sum(abs(signed_quantity)) as quantity, sum(notional) as notional
    from {{ touched(ref('positions')) }}
    group by all
    union all
    select 'trade_pnl', instrument_id, event_hour, 'ALL', count(*), sum(quantity), sum(notional)
    from {{ touched(ref('trade_pnl')) }}
    group by all
    union all
    select 'position_change', instrument_id, event_hour, 'ALL', 0, sum(quantity), 0
    from moved
    group by all
)

{{ silver_against_gold('silver', 'gold', reasons) }}
