{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'bronze.trades': 'session', 'silver.security_versions': 'validity'},
) }}

with landed as (
    select * from {{ touched(ref('stg_trades'), dates='event_date') }}
),

securities as (
    select instrument_id, valid_from, security_sk, price_multiplier
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

-- Rows without id or sequence: the k-th equal row of one delivery is an event of its own.
content as (
    select
        *,
        row_number() over (partition by delivery_unit, fingerprint order by position) as occurrence
    from (
        select
            *,
            substr(sha256(concat_ws(
                chr(31), source, coalesce(venue, ''), instrument_id, event_ts_ns::varchar,
                {{ canonical('price') }}, {{ canonical('quantity') }}, coalesce(side, ''),
                coalesce(conditions, '')
            )), 1, 32) as fingerprint
        from landed
        where dedup_rule = 'content'
    )
),

keyed as (
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
    from content
),

-- Of equal events the first to land stays; the others are declared, not dropped.
copies as (
    select
        *,
        row_number() over (
            partition by trade_key order by recv_ts_ns nulls last, unit, position
        ) as copy_number
    from keyed
),

-- The total order 0.5 within one nanosecond. Late rows shift nobody outside their own.
ordered as (
    select
        *,
        copy_number > 1 as is_duplicate,
        row_number() over (
            partition by instrument_id, event_ts_ns, copy_number > 1
            order by
                coalesce(sequence, source_row) nulls last, venue nulls last,
                try_cast(trade_id as ubigint) nulls last, trade_id nulls last,
                recv_ts_ns nulls last, trade_key
        )::integer as tie_order
    from copies
)

select
    o.* exclude (event_date, dedup_rule, copy_number, contract_version, ingest_ts, delivery_unit),
    case when o.is_duplicate then o.dedup_rule end as duplicate_by,
    cast(cast(o.price as decimal(38, 9)) * o.quantity as decimal(38, 12)) as price_quantity,
    cast(
        cast(cast(o.price as decimal(38, 9)) * o.quantity as decimal(38, 12))
        * coalesce(s.price_multiplier, 1::decimal(18, 9)) as decimal(38, 12)
    ) as notional,
    s.security_sk
from ordered as o
asof left join securities as s
    on o.instrument_id = s.instrument_id and o.event_ts >= s.valid_from
