{{ config(by=['instrument_id', 'event_hour']) }}

with children as (
    select * from {{ touched(ref('candles_10s')) }}
),

candles as (
    {{ candles_rolled_up('children', window_of('window_start', 60), 'event_hour') }}
)

{{ with_vwap('candles') }}
