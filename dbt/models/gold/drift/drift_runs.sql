{{ config(materialized='view') }}

-- A UTC day of a width judged as a whole (analytics.md 7): (a) volume, (b) windows that one layer
-- lacks, (c) windows whose price strays.
with runs as (
    select
        width,
        venue,
        cast({{ local_time('event_hour', "'UTC'") }} as date) as day,
        cast(sum(windows) as bigint) as windows,
        cast(sum(missing) as bigint) as missing,
        cast(sum(extra) as bigint) as extra,
        cast(sum(price_alerts) as bigint) as price_alerts,
        cast(sum(batch_volume) as decimal(38, 8)) as batch_volume,
        cast(sum(volume_difference) as decimal(38, 8)) as volume_difference
    from {{ ref('drift_hours') }}
    group by width, venue, cast({{ local_time('event_hour', "'UTC'") }} as date)
),

judged as (
    select
        *,
        {{ over_drift_limit('volume_difference', 'batch_volume') }} as failed_volume,
        {{ over_drift_limit('(missing + extra)', 'windows') }} as failed_windows,
        {{ over_drift_limit('price_alerts', 'windows') }} as failed_prices
    from runs
)

select
    width,
    venue,
    day,
    windows,
    missing,
    extra,
    price_alerts,
    batch_volume,
    volume_difference,
    {{ ratio('volume_difference', 'batch_volume') }} * 100 as volume_drift_pct,
    {{ ratio('missing + extra', 'windows') }} * 100 as missing_pct,
    {{ ratio('price_alerts', 'windows') }} * 100 as price_alert_pct,
    cast({{ var('drift_pct') }} as double) as limit_pct,
    not failed_volume as passed_volume,
    not failed_windows as passed_windows,
    not failed_prices as passed_prices,
    not failed_volume and not failed_windows and not failed_prices as passed
from judged
