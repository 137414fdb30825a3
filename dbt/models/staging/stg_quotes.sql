with source as (
    select * from {{ source('bronze', 'quotes') }}
),

timed as (
    select
        *,
        {{ timestamp_of('event_ts_ns') }} as event_ts,
        {{ window_start('event_ts_ns', 3600) }} as event_hour,
        {{ calendar_of() }} as calendar,
        case when unit like 'file:%' then position end as source_row
    from source
)

select
    -- what
    instrument_id,
    dealer_id,
    venue,
    source,
    bid_price,
    offer_price,
    bid_size,
    offer_size,
    sequence,
    coalesce(quote_type, 'F') as quote_type,
    side,
    action,
    price,
    size,
    level,
    session_id,
    -- when
    event_ts_ns,
    event_ts,
    event_hour,
    calendar,
    {{ session_date() }} as session_date,
    event_date,
    -- where from
    recv_ts_ns,
    unit,
    position,
    delivery_unit,
    source_row,
    batch,
    ingest_ts,
    contract_version,
    case
        when sequence is not null then 'sequence'
        when delivery_unit is not null then 'content'
        else 'position'
    end as dedup_rule
from timed
