{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'bronze.quotes': 'session', 'silver.security_versions': 'validity'},
) }}

with landed as (
    select * from {{ touched(ref('stg_quotes'), dates='event_date') }}
),

securities as (
    select instrument_id, valid_from, security_sk
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

content as (
    select
        *,
        row_number() over (partition by delivery_unit, fingerprint order by position) as occurrence
    from (
        select
            *,
            substr(sha256(concat_ws(
                chr(31), source, coalesce(venue, ''), dealer_id, instrument_id,
                event_ts_ns::varchar, coalesce({{ canonical('bid_price') }}, ''),
                coalesce({{ canonical('offer_price') }}, ''),
                coalesce({{ canonical('bid_size') }}, ''),
                coalesce({{ canonical('offer_size') }}, ''), coalesce(side, ''),
                coalesce(action, ''), coalesce({{ canonical('price') }}, ''),
                coalesce({{ canonical('size') }}, ''), coalesce(level::varchar, ''), quote_type
            )), 1, 32) as fingerprint
        from landed
        where dedup_rule = 'content'
    )
),

keyed as (
    select
        *,
        {{ key_of([
            'dedup_rule', 'source', 'venue', 'dealer_id', 'instrument_id', 'session_date',
            'side', 'level', 'event_ts_ns', 'sequence',
            "case when dedup_rule = 'position' then unit || '/' || position end",
        ]) }} as quote_key
    from landed
    where dedup_rule <> 'content'
    union all
    select
        * exclude (fingerprint, occurrence),
        {{ key_of(["'content'", 'fingerprint', 'occurrence']) }} as quote_key
    from content
),

copies as (
    select
        *,
        row_number() over (
            partition by quote_key order by recv_ts_ns nulls last, unit, position
        ) as copy_number
    from keyed
),

ordered as (
    select
        *,
        copy_number > 1 as is_duplicate,
        row_number() over (
            partition by instrument_id, event_ts_ns, copy_number > 1
            order by
                coalesce(sequence, source_row) nulls last, venue nulls last, dealer_id,
                recv_ts_ns nulls last, quote_key
        )::integer as tie_order
    from copies
)

select
    o.* exclude (event_date, dedup_rule, copy_number, contract_version, ingest_ts, delivery_unit),
    case when o.is_duplicate then o.dedup_rule end as duplicate_by,
    s.security_sk
from ordered as o
asof left join securities as s
    on o.instrument_id = s.instrument_id and o.event_ts >= s.valid_from
