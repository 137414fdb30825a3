{{ config(materialized='view') }}

{{ depth_long(ref('book_depth_states'), [
    'instrument_id', 'source', 'venue', 'event_hour', 'calendar', 'session_date', 'valid_from_ns', 'valid_to_ns',
    'valid_from', 'valid_to',
], 'orders') }}
