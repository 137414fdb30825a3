{{ config(by=['instrument_id', 'event_hour']) }}

with children as (
    select * from {{ touched(ref('candle_windows_1m')) }}
),

windows as (
    {{ in_session_scopes('children') }}
),

candles as (
    {{ candles_rolled_up('windows', 'event_hour', 'event_hour', ['session_scope', 'session_date']) }}
)

{{ candle_columns('candles') }}
