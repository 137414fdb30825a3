{{ config(by=['instrument_id', 'event_hour'], reach={'gold.order_flow_1m': 'session'}) }}

-- One side took more than its share of a minute's flow over all venues (analytics.md 15).
with triggers as (
    select
        'order_imbalance' as rule,
        flow as dataset,
        concat_ws('/', flow, instrument_id) as key,
        instrument_id,
        venue,
        session_date,
        case when buy_volume > sell_volume then 'BUY' else 'SELL' end as severity,
        greatest(buy_share, 1 - buy_share) as value,
        {{ var('order_flow_pct', 70) / 100 }} as threshold,
        null as reference,
        {{ ns_of('window_start') }} as event_ts_ns,
        {{ ns_of('window_start') }} as until_ns,
        cast({{ ns_of('window_start') }} as varchar) as trigger_key,
        cast(buy_volume + sell_volume as decimal(38, 8)) as volume,
        buy_volume,
        sell_volume,
        greatest(buy_share, 1 - buy_share) as imbalance
    from {{ touched(ref('order_flow_1m')) }}
    where is_alert and venue = 'ALL'
)

select * from ({{ alerts_from('triggers', ['volume', 'buy_volume', 'sell_volume', 'imbalance']) }}) as alerts
