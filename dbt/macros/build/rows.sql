{# What engines spell differently about rows that follow each other or stand for a span. #}

{# The last value of a window's frame that is not null, to stand before `over`. #}
{% macro last_known(expression) -%}
    last_value({{ expression }} ignore nulls)
{%- endmacro %}


{# A row per whole number of [first, until): in a select list, or to join laterally. #}
{% macro numbers_within(first, until) -%}
    unnest(range({{ first }}, {{ until }}))
{%- endmacro %}


{# A row per `width` (minute, hour) from moment `first` to moment `last`, both included. #}
{% macro every(width, first, last) -%}
    unnest(generate_series({{ first }}, {{ last }}, interval 1 {{ width }}))
{%- endmacro %}
