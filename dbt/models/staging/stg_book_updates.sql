with updates as (
    select
        *,
        {{ timestamp_of('event_ts_ns') }} as event_ts,
        {{ window_start('event_ts_ns', 3600) }} as event_hour,
        {{ calendar_of() }} as calendar
    from {{ source('bronze', 'book_updates') }}
)

select
    -- what
    instrument_id,
    venue,
    source,
    case side when 'BUY' then 'B' else 'S' end as side,
    order_type,
    price,
    quantity,
    order_id,
    sequence,
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
    batch,
    ingest_ts,
    contract_version
from updates
