-- Exchange market data: each message holds a quote of its venue and a last price with the volume
-- of that message. The quote goes on through stg_quotes, the venue acting as its dealer.
with source as (
    select * from {{ source('bronze', 'market_data') }}
)

select
    -- what
    instrument_id,
    venue as dealer_id,
    venue,
    source,
    last_price,
    volume,
    bid_price,
    offer_price,
    bid_size,
    offer_size,
    sequence,
    -- when
    event_ts_ns,
    {{ timestamp_of('event_ts_ns') }} as event_ts,
    {{ window_start('event_ts_ns', 3600) }} as event_hour,
    event_date,
    -- where from
    recv_ts_ns,
    unit,
    position,
    delivery_unit,
    batch,
    ingest_ts,
    contract_version
from source
