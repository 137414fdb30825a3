{{ config(by=['instrument_id', 'event_hour']) }}

with children as (
    select * from {{ touched(ref('candles_1m')) }}
),

candles as (
    {{ candles_rolled_up('children', window_of('window_start', 3600), 'event_hour') }}
)

{{ with_vwap('candles') }}
