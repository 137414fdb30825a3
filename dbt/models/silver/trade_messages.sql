{{ config(by=['instrument_id', 'event_hour'], reach={'bronze.trades': 'session'}) }}

-- Corrections, cancels and later versions, one row per message however often it landed. They are
-- few: what is done with them (trade_chains) reads this instead of every trade.
with landed as (
    select *
    from {{ touched(ref('stg_trades'), dates='event_date') }}
    where (status <> 'NEW' or version > 1) and dedup_rule = 'identity'
),

keyed as (
    select
        *,
        {{ trade_key() }} as trade_key
    from landed
)

select
    trade_key,
    instrument_id,
    source,
    venue,
    trade_id,
    case when status = 'NEW' then trade_id else coalesce(ref_trade_id, trade_id) end as linked_id,
    status,
    version,
    event_ts_ns,
    event_hour,
    session_date,
    recv_ts_ns,
    unit,
    position
from keyed
qualify row_number() over (
    partition by trade_key order by recv_ts_ns nulls last, unit, position
) = 1
