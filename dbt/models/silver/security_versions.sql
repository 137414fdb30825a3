{{ config(
    by=['instrument_id'],
    reach={'silver.securities_history': 'key'},
    valid=['valid_from', 'valid_to'],
    derived=['version', 'is_current'],
) }}

with statements as (
    select *
    from {{ touched(ref('securities_history')) }}
    where outcome = 'version'
),

numbered as (
    select
        *,
        row_number() over (partition by instrument_id order by as_of_ns) as version,
        lead(as_of) over (partition by instrument_id order by as_of_ns) as valid_to
    from statements
),

-- Nothing is known of an instrument before its first statement: that one is assumed to have held.
dated as (
    select
        *,
        case when version = 1 then timestamptz '1970-01-01 00:00:00+00' else as_of end as valid_from
    from numbered
)

select
    {{ key_of(['instrument_id', 'epoch_us(valid_from)']) }} as security_sk,
    instrument_id,
    security_name,
    cusip,
    isin,
    market_segment,
    issuer,
    currency,
    tick_size,
    price_multiplier,
    valid_from,
    valid_to,
    valid_to is null as is_current,
    version::integer as version,
    version = 1 as is_start_assumed,
    case when version = 1 then 'INSERT' else 'UPDATE' end as change_type,
    change_hash,
    as_of,
    unit,
    position
from dated
