{{ config(by=['instrument_id'], reach={'bronze.securities': 'key'}) }}

with landed as (
    select * from {{ touched(ref('stg_securities')) }}
),

hashed as (
    select
        *,
        sha256(concat_ws(
            chr(31), security_name, coalesce(cusip, ''), coalesce(isin, ''),
            coalesce(market_segment, ''), coalesce(issuer, ''), coalesce(currency, ''),
            coalesce({{ canonical('tick_size') }}, ''),
            coalesce({{ canonical('price_multiplier') }}, '')
        )) as change_hash,
        row_number() over (
            partition by instrument_id, as_of
            order by as_of_ns desc, recv_ts_ns desc nulls last, unit desc, position desc
        ) as rank_at_as_of
    from landed
),

-- Of several statements with one as-of time the last to land counts. Validity is kept to the
-- microsecond, so statements that differ by less are of one time, and the later counts.
compared as (
    select
        *,
        lag(change_hash) over (
            partition by instrument_id, rank_at_as_of > 1 order by as_of_ns
        ) as previous_hash
    from hashed
)

select
    * exclude (rank_at_as_of, previous_hash, contract_version, ingest_ts),
    case
        when rank_at_as_of > 1 then 'superseded'
        when previous_hash = change_hash then 'unchanged'
        else 'version'
    end as outcome
from compared
