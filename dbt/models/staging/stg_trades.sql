-- Trades as their sources report them, and the trades among the order messages: the gateway
-- (analytics.md 23.1) lets through type T and nothing else.
with reported as (
    select
        'trades' as dataset,
        trade_id,
        instrument_id,
        venue,
        source,
        price,
        quantity,
        side,
        trader_id,
        sequence,
        conditions,
        is_suspicious,
        status,
        ref_trade_id,
        version,
        session_id,
        event_ts_ns,
        event_date,
        recv_ts_ns,
        unit,
        position,
        delivery_unit,
        batch,
        ingest_ts,
        contract_version,
        null as dedup_rule
    from {{ source('bronze', 'trades') }}
),

passed as (
    select
        'orders' as dataset,
        msg_id as trade_id,
        instrument_id,
        venue,
        source,
        price,
        quantity,
        side,
        null as trader_id,
        sequence,
        null as conditions,
        null as is_suspicious,
        'NEW' as status,
        null as ref_trade_id,
        null as version,
        null as session_id,
        event_ts_ns,
        event_date,
        recv_ts_ns,
        unit,
        position,
        delivery_unit,
        batch,
        ingest_ts,
        contract_version,
        dedup_rule
    from {{ ref('stg_orders') }}
    where msg_type = 'T'
),

timed as (
    select
        *,
        {{ timestamp_of('event_ts_ns') }} as event_ts,
        {{ window_start('event_ts_ns', 3600) }} as event_hour,
        {{ calendar_of() }} as calendar,
        case when unit like 'file:%' then position end as source_row
    from (
        select * from reported
        union all
        select * from passed
    ) as trades
),

identified as (
    select
        t.* exclude (dedup_rule),
        {{ session_date() }} as session_date,
        case
            when t.dedup_rule is not null then t.dedup_rule
            when t.trade_id is not null then 'identity'
            when t.sequence is not null then 'sequence'
            when t.delivery_unit is not null then 'content'
            else 'position'
        end as dedup_rule,
        coalesce(f.condition_form, 'sip') as condition_form
    from timed as t
    left join {{ ref('feeds') }} as f on t.source = f.source and f.dataset = 'trades'
)

select
    -- what
    trade_id,
    instrument_id,
    venue,
    source,
    price,
    quantity,
    side,
    trader_id,
    sequence,
    conditions,
    is_suspicious,
    coalesce(status, 'NEW') as status,
    ref_trade_id,
    version,
    session_id,
    -- when
    event_ts_ns,
    event_ts,
    event_hour,
    calendar,
    session_date,
    event_date,
    -- where from
    dataset,
    recv_ts_ns,
    unit,
    position,
    delivery_unit,
    source_row,
    batch,
    ingest_ts,
    contract_version,
    dedup_rule,
    condition_form
from identified
