{{ config(materialized='view') }}

-- What candles leave out, and why: a row per trade and reason (analytics.md 2).
select
    trade_key,
    instrument_id,
    venue,
    event_ts,
    event_ts_ns,
    event_hour,
    session_date,
    price,
    quantity,
    notional,
    conditions,
    reason
from (
    {% if var('exclude_outliers') %}
        select *, 'OUTLIER' as reason
        from {{ ref('trades') }}
        where is_outlier
        union all
    {% endif %}
    select *, 'NOT_VOLUME_ELIGIBLE'
    from {{ ref('trades') }}
    where not is_volume_eligible {% if var('exclude_outliers') %} and not is_outlier {% endif %}
    union all
    select *, 'NOT_PRICE_ELIGIBLE'
    from {{ ref('trades') }}
    where not is_price_eligible {% if var('exclude_outliers') %} and not is_outlier {% endif %}
) as excluded
