{{ config(by=['instrument_id', 'event_hour'], reach={'bronze.market_data': 'session'}) }}

-- The last price and volume of every market data message. Messages of one venue with one sequence
-- number in one session are copies of one: the first to land stays, the others are declared.
with messages as (
    select *, {{ session_date() }} as session_date
    from (
        select *, {{ calendar_of() }} as calendar
        from {{ touched(ref('stg_market_data'), dates='event_date') }}
    ) as dated
),

keyed as (
    select
        *,
        {{ key_of([
            "'market_data'", 'source', 'venue', 'instrument_id', 'session_date', 'event_ts_ns', 'sequence',
            "case when sequence is null then unit || '/' || position end",
        ]) }} as price_key
    from messages
),

numbered as (
    select
        *,
        row_number() over (
            partition by price_key order by recv_ts_ns nulls last, unit, position
        ) as copy_number
    from keyed
)

select
    m.price_key,
    m.instrument_id,
    m.venue,
    m.source,
    m.last_price as price,
    m.volume,
    m.sequence,
    m.event_ts_ns,
    m.event_ts,
    m.event_hour,
    m.calendar,
    m.session_date,
    {{ session_type('m.event_ts_ns') }} as session_type,
    row_number() over (
        partition by m.instrument_id, m.event_ts_ns, m.copy_number > 1
        order by m.venue nulls last, m.sequence nulls last, m.recv_ts_ns nulls last, m.price_key
    ) as tie_order,
    m.unit,
    m.position,
    m.copy_number > 1 as is_duplicate
from numbered as m
left join {{ ref('sessions') }} as s on m.calendar = s.calendar and m.session_date = s.session_date
