{{ config(materialized='view') }}

with sampled as (
    {{ depth_sampled(ref('depth_states')) }}
)

{{ depth_long('sampled', [
    'instrument_id', 'event_hour', 'calendar', 'session_date', 'sample_ts',
], 'dealers') }}
