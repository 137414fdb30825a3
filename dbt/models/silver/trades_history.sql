{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'bronze.trades': 'session',
        'bronze.orders': 'session',
        'silver.security_versions': 'validity',
    },
) }}

with landed as not materialized (
    select * from {{ touched(ref('stg_trades'), dates='event_date') }}
),

securities as (
    select instrument_id, valid_from, valid_to, security_sk, price_multiplier
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

contents as not materialized (
    {{ counted_contents('landed', [
        'source', 'venue', 'instrument_id', 'event_ts_ns', canonical('price'),
        canonical('quantity'), 'side', 'conditions',
    ]) }}
),

keyed as not materialized (
    select
        *,
        {{ key_of([
            'dedup_rule', 'source', 'venue', 'instrument_id', 'session_date',
            "case when dedup_rule = 'identity' then trade_id else sequence::varchar end",
            'status', 'version',
            "case when dedup_rule = 'position' then unit || '/' || position end",
        ]) }} as trade_key
    from landed
    where dedup_rule <> 'content'
    union all
    select
        * exclude (fingerprint, occurrence),
        {{ key_of(["'content'", 'fingerprint', 'occurrence']) }} as trade_key
    from contents
),

marked as (
    {{ marked_copies('keyed', 'trade_key', ['try_cast(k.trade_id as ubigint)', 'k.trade_id']) }}
),

priced as (
    select
        *,
        cast(cast(price as decimal(38, 9)) * quantity as decimal(38, 12)) as price_quantity
    from marked
)

select
    p.* exclude (event_date, dedup_rule, contract_version, ingest_ts, delivery_unit),  -- noqa: RF02
    {{ notional('p.price_quantity', 's.price_multiplier') }} as notional,
    s.security_sk
from priced as p
left join securities as s
    on p.instrument_id = s.instrument_id
    and p.event_ts >= s.valid_from
    and (s.valid_to is null or p.event_ts < s.valid_to)
