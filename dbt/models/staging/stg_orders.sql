with source as (
    select * from {{ source('bronze', 'orders') }}
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
    msg_id,
    order_id,
    msg_type,
    instrument_id,
    venue,
    source,
    price,
    quantity,
    side,
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
    source_row,
    batch,
    ingest_ts,
    contract_version,
    -- Several messages of one match share a sequence number, so that alone names none.
    case
        when msg_id is not null then 'identity'
        when delivery_unit is not null then 'content'
        when sequence is not null then 'sequence'
        else 'position'
    end as dedup_rule
from timed
