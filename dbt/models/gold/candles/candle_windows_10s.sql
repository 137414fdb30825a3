{{ config(by=['instrument_id', 'event_hour']) }}

with children as (
    select * from {{ touched(ref('candle_windows_1s')) }}
)

{{ candles_rolled_up(
    'children', window_of('window_start', 10), 'event_hour', ['session_date', 'session_type']
) }}
