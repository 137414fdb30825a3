{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'bronze.quotes': 'session',
        'bronze.market_data': 'session',
        'silver.security_versions': 'validity',
    },
) }}

with landed as not materialized (
    select * from {{ touched(ref('stg_quotes'), dates='event_date') }}
),

securities as (
    select instrument_id, valid_from, valid_to, security_sk
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

contents as not materialized (
    {{ counted_contents('landed', [
        'source', 'venue', 'dealer_id', 'instrument_id', 'event_ts_ns', canonical('bid_price'),
        canonical('offer_price'), canonical('bid_size'), canonical('offer_size'), 'side',
        'action', canonical('price'), canonical('size'), 'level', 'quote_type',
        canonical('last_price'), canonical('volume'),
    ]) }}
),

keyed as not materialized (
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
    from contents
),

marked as (
    {{ marked_copies('keyed', 'quote_key', ['k.dealer_id'], place=['dataset', 'unit', 'position']) }}
)

select
    m.* exclude (event_date, dedup_rule, contract_version, ingest_ts, delivery_unit),  -- noqa: RF02
    s.security_sk
from marked as m
left join securities as s
    on m.instrument_id = s.instrument_id
    and m.event_ts >= s.valid_from
    and (s.valid_to is null or m.event_ts < s.valid_to)
