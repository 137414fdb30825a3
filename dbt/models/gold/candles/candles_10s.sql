{{ config(materialized='view') }}

with windows as (
    {{ in_session_scopes(ref('candle_windows_10s')) }}
)

{{ candle_columns('windows', ['session_type']) }}
