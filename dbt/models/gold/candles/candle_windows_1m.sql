{{ config(by=['instrument_id', 'event_hour']) }}

with children as (
    select * from {{ touched(ref('candle_windows_10s')) }}
)

{{ candles_rolled_up(
    'children', window_of('window_start', 60), 'event_hour', ['session_date', 'session_type']
) }}
