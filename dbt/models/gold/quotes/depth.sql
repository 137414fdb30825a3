{{ config(materialized='view') }}

{{ depth_long(ref('depth_states'), [
    'instrument_id', 'event_hour', 'calendar', 'session_date', 'valid_from_ns', 'valid_to_ns', 'valid_from', 'valid_to',
], 'dealers') }}
