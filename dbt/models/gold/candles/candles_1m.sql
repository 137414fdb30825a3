{{ config(materialized='view') }}

with windows as (
    {{ in_session_scopes(ref('candle_windows_1m')) }}
)

{{ candle_columns('windows', ['session_type']) }}
