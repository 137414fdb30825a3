{#
    Sessions (analytics.md 0.2). Every instrument keeps one calendar, named by variable `calendars`;
    a calendar says which session date a moment belongs to. All its rules roll at a full hour, so
    an hour of event time lies in one session.
#}

{# The calendar of an instrument: the first whose patterns (SQL like) fit its id. #}
{% macro calendar_of(instrument_id='instrument_id') -%}
    case
        {%- for calendar, patterns in var('calendars').items() %}{% for pattern in patterns %}
        when {{ instrument_id }} like '{{ pattern }}' then '{{ calendar }}'
        {%- endfor %}{% endfor %}
        else '{{ var("default_calendar") }}'
    end
{%- endmacro %}


{# The session date of a full hour. Stocks and bonds: the local date in New York. Currencies and
   metals roll at 17:00 New York, futures at 17:00 Chicago, there over the week-end to Monday. #}
{% macro session_date(hour='event_hour', calendar='calendar') -%}
    case {{ calendar }}
        when 'crypto' then cast({{ local_time(hour, "'UTC'") }} as date)
        when 'fx' then cast({{ local_time(hour, "'America/New_York'") }} + interval 7 hour as date)
        when 'metals' then cast({{ local_time(hour, "'America/New_York'") }} + interval 7 hour as date)
        when 'futures' then {{ after_weekend('cast(' ~ local_time(hour, "'America/Chicago'") ~ ' + interval 7 hour as date)') }}
        else cast({{ local_time(hour, "'America/New_York'") }} as date)
    end
{%- endmacro %}


{# First moment of a session date; the session ends where the next begins. #}
{% macro session_start(date='session_date', calendar='calendar') -%}
    case {{ calendar }}
        when 'crypto' then {{ utc_of('cast(' ~ date ~ ' as timestamp)', "'UTC'") }}
        when 'fx' then {{ utc_of('cast(' ~ date ~ ' as timestamp) - interval 7 hour', "'America/New_York'") }}
        when 'metals' then {{ utc_of('cast(' ~ date ~ ' as timestamp) - interval 7 hour', "'America/New_York'") }}
        when 'futures' then {{ utc_of(
            'cast(' ~ before_weekend(date) ~ ' as timestamp) - interval 7 hour', "'America/Chicago'"
        ) }}
        else {{ utc_of('cast(' ~ date ~ ' as timestamp)', "'America/New_York'") }}
    end
{%- endmacro %}


{# The moment after a session date's last. #}
{% macro session_end(date='session_date', calendar='calendar') -%}
    case {{ calendar }}
        when 'crypto' then {{ utc_of('cast(' ~ date ~ ' + 1 as timestamp)', "'UTC'") }}
        when 'fx' then {{ utc_of('cast(' ~ date ~ ' as timestamp) + interval 17 hour', "'America/New_York'") }}
        when 'metals' then {{ utc_of('cast(' ~ date ~ ' as timestamp) + interval 17 hour', "'America/New_York'") }}
        when 'futures' then {{ utc_of('cast(' ~ date ~ ' as timestamp) + interval 17 hour', "'America/Chicago'") }}
        else {{ utc_of('cast(' ~ date ~ ' + 1 as timestamp)', "'America/New_York'") }}
    end
{%- endmacro %}


{# Saturdays and Sundays belong to Monday's session. #}
{% macro after_weekend(date) -%}
    {{ date }} + case {{ iso_weekday(date) }} when 6 then 2 when 7 then 1 else 0 end
{%- endmacro %}


{# The date whose evening before opened the session: Monday's session opened on Friday evening. #}
{% macro before_weekend(date) -%}
    {{ date }} - case {{ iso_weekday(date) }} when 1 then 2 else 0 end
{%- endmacro %}


{# Midnight of a session date on its calendar's clock. #}
{% macro local_midnight(date='session_date', calendar='calendar') -%}
    case {{ calendar }}
        when 'crypto' then {{ utc_of('cast(' ~ date ~ ' as timestamp)', "'UTC'") }}
        when 'futures' then {{ utc_of('cast(' ~ date ~ ' as timestamp)', "'America/Chicago'") }}
        else {{ utc_of('cast(' ~ date ~ ' as timestamp)', "'America/New_York'") }}
    end
{%- endmacro %}
