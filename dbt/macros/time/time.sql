{# ns since epoch UTC -> timestamptz, floored to the microsecond. #}
{% macro timestamp_of(ns) -%}
    make_timestamptz({{ ns }} // 1000)
{%- endmacro %}


{# The start of the window of `seconds` that holds an event: aligned to the UTC epoch, computed on
   integers, which costs a twentieth of date_trunc on a zoned timestamp. #}
{% macro window_start(ns, seconds) -%}
    make_timestamptz(({{ ns }} // {{ seconds * 1000000000 }}) * {{ seconds * 1000000 }})
{%- endmacro %}


{# The same over a timestamp, to roll windows up. #}
{% macro window_of(moment, seconds) -%}
    make_timestamptz((epoch_us({{ moment }}) // {{ seconds * 1000000 }}) * {{ seconds * 1000000 }})
{%- endmacro %}


{# A moment's wall clock in a zone (SQL text), as a timestamp without zone. #}
{% macro duckdb__local_time(moment, zone) -%}
    timezone({{ zone }}, {{ moment }})
{%- endmacro %}


{# The moment of a wall clock in a zone. #}
{% macro duckdb__utc_of(local, zone) -%}
    timezone({{ zone }}, {{ local }})
{%- endmacro %}


{# Monday is 1, Sunday 7. #}
{% macro duckdb__iso_weekday(date) -%}
    isodow({{ date }})
{%- endmacro %}


{# A moment as ns since epoch UTC. #}
{% macro ns_of(moment) -%}
    epoch_us({{ moment }}) * 1000
{%- endmacro %}


{# A relation with one row, `session_date`, for every day of a range. #}
{% macro days_between(first, last) -%}
    (
        select unnest(generate_series(
            timestamp '{{ first }}', timestamp '{{ last }}', interval 1 day
        )) as session_date
    )
{%- endmacro %}


{# `count` minutes as an interval. #}
{% macro duckdb__minutes(count) -%}
    to_minutes({{ count }})
{%- endmacro %}


{# Text HH:MM as minutes since midnight. #}
{% macro minutes_of_day(text) -%}
    cast(split_part({{ text }}, ':', 1) as integer) * 60 + cast(split_part({{ text }}, ':', 2) as integer)
{%- endmacro %}
