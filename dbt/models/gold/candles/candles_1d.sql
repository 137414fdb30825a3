{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.candles_1h': 'session', 'silver.official_closes': 'session'},
) }}

-- A day is a session date; its window starts at the session date's local midnight.
with children as (
    select
        *,
        {{ calendar_of() }} as calendar
    from {{ touched(ref('candles_1h')) }}
),

candles as (
    {{ candles_rolled_up(
        'children', local_midnight(), session_start(), ['session_scope', 'session_date', 'calendar']
    ) }}
),

days as (
    select
        c.*,
        s.regular_open as session_open,
        o.official_close,
        max(c.volume) over (partition by c.instrument_id, c.venue, c.session_date) as volume_all
    from candles as c
    left join {{ ref('sessions') }} as s
        on c.calendar = s.calendar and c.session_date = s.session_date
    left join {{ touched(ref('official_closes')) }} as o
        on c.instrument_id = o.instrument_id and c.session_date = o.session_date
)

{{ candle_columns('days', ['session_open', 'official_close', 'volume_all']) }}
