{{ config(materialized='view') }}

-- Where each limit stands now. A limit that never left OK has no row.
select
    trader_id,
    instrument_id,
    limit_name,
    state_to as state,
    value,
    limit_value,
    event_ts as since,
    trigger_key
from {{ ref('limit_transitions') }}
qualify row_number() over (
    partition by trader_id, instrument_id, limit_name order by event_ts_ns desc, tie_order desc
) = 1
