{{ config(by=[]) }}

-- Every session date of every calendar from 1990 to 2050, with its bounds (analytics.md 0.2).
-- The bounds are minutes from the local midnight of the session date.
with calendars as (
    select rules.*
    from (
        values
        ('us_equity', 'America/New_York', 240, 570, 960, 1200),
        ('corporate_bond', 'America/New_York', 0, 420, 1080, 1440),
        ('fx', 'America/New_York', -420, -420, 1020, 1020),
        ('metals', 'America/New_York', -360, -360, 1020, 1020),
        ('futures', 'America/Chicago', -420, -420, 960, 960),
        ('crypto', 'UTC', 0, 0, 1440, 1440)
    ) as rules (calendar, zone, extended_open, regular_open, regular_close, extended_close)
),

dated as (
    select
        c.calendar,
        c.zone,
        cast(d.session_date as date) as session_date,
        c.extended_open,
        c.regular_open,
        coalesce({{ minutes_of_day('h.early_close') }}, c.regular_close) as regular_close,
        c.extended_close,
        h.early_close is not null as is_early_close,
        c.calendar = 'crypto'
        or ({{ iso_weekday('d.session_date') }} < 6 and (h.holiday is null or h.early_close is not null))
            as is_trading_day
    from calendars as c
    cross join {{ days_between('1990-01-01', '2050-12-31') }} as d
    left join {{ ref('holidays') }} as h
        on c.calendar = h.calendar and cast(d.session_date as date) = h.holiday
),

bounded as (
    select
        *,
        {% for bound in ['extended_open', 'regular_open', 'regular_close', 'extended_close'] %}
            case
                when is_trading_day
                    then {{ utc_of('cast(session_date as timestamp) + ' ~ minutes(bound), 'zone') }}
            end as {{ bound }}_ts,
        {% endfor %}
        {{ session_start() }} as session_start,
        {{ session_end() }} as session_end
    from dated
)

select
    calendar,
    session_date,
    is_trading_day,
    is_early_close,
    session_start,
    session_end,
    extended_open_ts as extended_open,
    regular_open_ts as regular_open,
    regular_close_ts as regular_close,
    extended_close_ts as extended_close,
    {{ ns_of('session_start') }} as session_start_ns,
    {{ ns_of('session_end') }} as session_end_ns,
    {{ ns_of('extended_open_ts') }} as extended_open_ns,
    {{ ns_of('regular_open_ts') }} as regular_open_ns,
    {{ ns_of('regular_close_ts') }} as regular_close_ns,
    {{ ns_of('extended_close_ts') }} as extended_close_ns
from bounded
