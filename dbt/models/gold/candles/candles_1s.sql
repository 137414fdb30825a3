{{ config(by=['instrument_id', 'event_hour']) }}

with trades as (
    select * from {{ touched(ref('trades')) }}
),

candles as (
    {{ candles_from_trades('trades', 1) }}
)

{{ with_vwap('candles') }}
