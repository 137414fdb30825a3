with source as (
    select * from {{ source('bronze', 'positions') }}
),

timed as (
    select
        *,
        {{ timestamp_of('event_ts_ns') }} as event_ts,
        {{ window_start('event_ts_ns', 3600) }} as event_hour,
        {{ calendar_of() }} as calendar
    from source
)

select
    -- what
    trader_id,
    instrument_id,
    source,
    position_size,
    avg_price,
    current_pnl,
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
    batch,
    ingest_ts,
    contract_version
from timed
