{{ config(by=['event_hour'], reach={'silver.late_trades_units': 'none'}) }}

-- How much was compared and how much differs, hour by hour: what runs are summed from.
with streams as (
    {{ compared_streams() }}
),

trades as not materialized (
    select instrument_id, event_hour, dataset, unit from {{ touched(ref('trades_history')) }}
),

candles as not materialized (
    select instrument_id, event_hour, dataset, stream
    from {{ touched(source('speed', 'candles'), dates='event_date') }}
),

hours as (
    {{ compared_hours('trades', 'candles', 'streams') }}
),

batch as (
    {{ compared_batch_windows('hours') }}
),

counted as (
    select
        width, instrument_id, venue, event_hour, volume as batch_volume, 1 as windows,
        0 as missing, 0 as extra, 0 as price_alerts, 0 as volume_difference
    from batch
    union all
    select
        width, instrument_id, venue, event_hour, 0,
        case when status = 'EXTRA_SPEED' then 1 else 0 end,
        case when status = 'MISSING_SPEED' then 1 else 0 end,
        case when status = 'EXTRA_SPEED' then 1 else 0 end,
        case when status = 'DRIFT' and is_alert then 1 else 0 end,
        abs(volume_diff)
    from {{ touched(ref('candle_drift')) }}
)

select
    width,
    instrument_id,
    venue,
    event_hour,
    cast(sum(windows) as bigint) as windows,
    cast(sum(missing) as bigint) as missing,
    cast(sum(extra) as bigint) as extra,
    cast(sum(price_alerts) as bigint) as price_alerts,
    cast(sum(batch_volume) as decimal(38, 8)) as batch_volume,
    cast(sum(volume_difference) as decimal(38, 8)) as volume_difference
from counted
group by width, instrument_id, venue, event_hour
