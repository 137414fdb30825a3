{{ config(by=['event_hour'], reach={'gold.pnl': 'from_hour'}) }}

-- Exposure and P&L of each trader over the latest state of each of his positions, whenever one of
-- them changed. A risk day begins at midnight in the trader's zone; 26 hours back always hold it.
with earlier as (
    select * from {{ before_scope(ref('pnl'), hours_back=26) }}
),

states as (
    select *, false as is_carried from {{ from_scope_on(ref('pnl'), hours_back=26) }}
    union all
    select *, true as is_carried from ({{ latest_per('earlier', ['trader_id', 'instrument_id']) }})
),

changes as (
    {{ risk_changes('states') }}
),

moments as (
    select
        trader_id,
        event_ts_ns,
        event_hour,
        max_by(trade_key, (tie_order, instrument_id)) filter (where trade_key is not null) as trade_key,
        {{ using_columns(risk_measures(), 'sum({0}_change) as {0}_change') }},
        sum(profit) filter (where not is_carried) as profit
    from changes
    group by trader_id, event_ts_ns, event_hour
),

dated as (
    select
        m.*,
        {{ timestamp_of('m.event_ts_ns') }} as event_ts,
        cast(
            {{ local_time(timestamp_of('m.event_ts_ns'), "coalesce(own.zone, everyone.zone)") }} as date
        ) as risk_date
    from moments as m
    left join {{ ref('traders') }} as own on m.trader_id = own.trader_id
    left join {{ ref('traders') }} as everyone on everyone.trader_id = '*'
)

select
    trader_id,
    event_ts_ns,
    event_ts,
    event_hour,
    risk_date,
    trade_key,
    {{ risk_sums('trader_id', 'event_ts_ns') }},
    cast(
        coalesce(sum(profit) over (partition by trader_id, risk_date order by event_ts_ns), 0)
        as decimal(38, 12)
    ) as daily_pnl
from dated
qualify {{ in_scope('dated') }}
