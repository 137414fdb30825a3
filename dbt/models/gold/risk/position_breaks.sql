{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'gold.positions': 'from_hour',
        'silver.trades_history': 'hour_and_next',
        'silver.trade_outliers': 'hour_and_next',
        'silver.official_closes': 'days:14',
        'silver.security_versions': 'validity',
    },
) }}

-- Every snapshot of a feed beside the position that the fills up to then make, and its P&L beside
-- position_size x (mark - avg_price) x multiplier, at our mark or at the last trade, as feeds do.
with snapshots as (
    select *, {{ session_start() }} as session_start from {{ touched(ref('position_snapshots')) }}
),

securities as (
    select instrument_id, valid_from, valid_to, price_multiplier
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

moves as (
    select * from {{ from_scope_on(ref('positions')) }}
),

earlier as (
    select * from {{ before_scope(ref('positions')) }}
),

states as (
    {{ positions_since('moves', 'earlier') }}
),

quotes as (select * from {{ touched(ref('best_quotes')) }}),

trades as (select * from {{ touched(ref('trades'), hours_back=1) }}),

closes as (select * from {{ touched(ref('official_closes'), by=['instrument_id']) }}),

marks as (
    {{ marks_at('snapshots', 'quotes', 'trades', 'closes') }}
),

compared as (
    {{ as_of(
        'snapshots', 'states', 'since_ns', ['quantity', 'average_cost'], ['trader_id', 'instrument_id']
    ) }}
),

priced as (
    select
        c.*,
        m.quote_mid,
        m.trade_price,
        {{ mark('null') }} as mark,
        c.position_size - coalesce(c.quantity, 0) as quantity_difference,
        c.avg_price - c.average_cost as average_difference,
        {% for name, price in [('at_mark', mark('null')), ('at_trade', 'm.trade_price')] %}
            coalesce({{ position_value(
                'c.position_size', price ~ ' - c.avg_price', 'coalesce(s.price_multiplier, 1)'
            ) }}, case when c.position_size = 0 then 0 end) as pnl_{{ name }},
        {% endfor %}
        c.quantity is not null as has_fills
    from compared as c
    inner join marks as m on c.instrument_id = m.instrument_id and c.event_ts_ns = m.event_ts_ns
    left join securities as s
        on c.instrument_id = s.instrument_id
        and c.event_ts >= s.valid_from
        and (s.valid_to is null or c.event_ts < s.valid_to)
),

judged as (
    select
        *,
        case
            when abs(current_pnl - pnl_at_trade) < abs(current_pnl - pnl_at_mark)
                then current_pnl - pnl_at_trade
            else current_pnl - pnl_at_mark
        end as pnl_difference
    from priced
)

select
    snapshot_key,
    source,
    trader_id,
    instrument_id,
    event_ts_ns,
    event_ts,
    event_hour,
    position_size,
    avg_price,
    current_pnl,
    quantity as fills_quantity,
    average_cost as fills_average_cost,
    mark,
    pnl_at_mark,
    pnl_at_trade,
    cast(quantity_difference as decimal(28, 8)) as quantity_difference,
    cast(average_difference as decimal(38, 12)) as average_difference,
    cast(pnl_difference as decimal(38, 12)) as pnl_difference,
    quantity_difference <> 0 as is_quantity_break,
    coalesce(abs(average_difference) > cast(0.000000001 as decimal(18, 9)), false) as is_average_break,
    coalesce(abs(pnl_difference) > {{ var('position_pnl_tolerance') }}, false) as is_pnl_break
from judged
