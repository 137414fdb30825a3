with source as (
    select * from {{ source('bronze', 'securities') }}
)

select
    -- what
    instrument_id,
    security_name,
    cusip,
    isin,
    market_segment,
    issuer,
    currency,
    tick_size,
    price_multiplier,
    source,
    -- when
    event_ts_ns as as_of_ns,
    {{ timestamp_of('event_ts_ns') }} as as_of,
    {{ window_start('event_ts_ns', 3600) }} as event_hour,
    -- where from
    recv_ts_ns,
    unit,
    position,
    batch,
    ingest_ts,
    contract_version
from source
