{{ config(by=['instrument_id', 'event_hour'], reach={'gold.candles_1h': 'session'}) }}

-- A day is a session date; its window starts at the session's local midnight.
with children as (
    select *, {{ session_date() }} as session_date
    from (select *, {{ calendar_of() }} as calendar from {{ touched(ref('candles_1h')) }})
),

candles as (
    {{ candles_rolled_up('children', session_start(), session_start()) }}
)

select *, {{ session_date('window_start', calendar_of()) }} as session_date
from ({{ with_vwap('candles') }})
