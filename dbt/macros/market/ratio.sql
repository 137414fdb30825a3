{# One division of two decimals, as a double: each is turned into one first, on every engine, and a
   denominator of 0 gives null. #}
{% macro ratio(numerator, denominator) -%}
    cast({{ numerator }} as double) / nullif(cast({{ denominator }} as double), 0)
{%- endmacro %}
