{{ config(by=['instrument_id', 'event_hour']) }}

-- Snapshots of positions as their feeds state them. Of several by one source for one trader,
-- instrument and moment the last to land counts; the others are declared.
with landed as (
    select * from {{ touched(ref('stg_positions'), dates='event_date') }}
)

select
    {{ key_of(['source', 'trader_id', 'instrument_id', 'event_ts_ns']) }} as snapshot_key,
    * exclude (event_date, contract_version, ingest_ts),
    row_number() over (
        partition by source, trader_id, instrument_id, event_ts_ns
        order by recv_ts_ns desc nulls last, unit desc, position desc
    ) > 1 as is_duplicate
from landed
