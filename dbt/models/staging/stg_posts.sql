with source as (
    select * from {{ source('bronze', 'posts') }}
)

select
    -- what
    platform,
    post_id,
    author,
    text,
    score as votes,
    tickers,
    source,
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
