{# How many sample deviations a count lies above the mean of `n` others, given their sum and the sum of
   their squares; null if the deviation is 0. Exact up to the last division and root. #}
{% macro z_of_count(value, total, squares, n) -%}
    cast({{ n }} * {{ value }} - {{ total }} as double)
    / nullif({{ n }} * sqrt(cast({{ n }} * {{ squares }} - {{ total }} * {{ total }} as double) / {{ n * (n - 1) }}), 0)
{%- endmacro %}
