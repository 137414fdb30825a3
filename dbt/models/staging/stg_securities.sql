with source as (
    select * from {{ source('bronze', 'securities') }}
)

select
    -- what
    instrument_id,
    security_name,
    nullif(ticker, '') as ticker,
    {{ known_text('cusip') }} as cusip,
    {{ known_text('isin') }} as isin,
    {{ known_text('figi') }} as figi,
    {{ known_text('market_segment') }} as market_segment,
    {{ known_text('issuer') }} as issuer,
    {{ known_text('venue') }} as venue,
    {{ known_text('calendar') }} as calendar,
    {{ known_text('currency') }} as currency,
    tick_size,
    price_multiplier,
    coalesce(allow_negative_price, false) as allow_negative_price,
    coalesce(status, 'ACTIVE') as status,
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
