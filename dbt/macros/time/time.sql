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


{# The session date of an hour (analytics.md 0.2): the local date at the venue. #}
{% macro session_date(hour) -%}
    cast(timezone('{{ var("session_zone") }}', {{ hour }}) as date)
{%- endmacro %}


{# First moment of the session that an hour belongs to: local midnight, in UTC. #}
{% macro session_start(hour) -%}
    timezone('{{ var("session_zone") }}', cast({{ session_date(hour) }} as timestamp))
{%- endmacro %}


{# The moment after the session's last. #}
{% macro session_end(hour) -%}
    timezone('{{ var("session_zone") }}', cast({{ session_date(hour) }} + 1 as timestamp))
{%- endmacro %}
