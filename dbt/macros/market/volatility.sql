{#
    Realized volatility (analytics.md 21): squared returns on a previous-tick grid.

    A bin without a trade repeats the price before it, so its return is zero and need not stand
    there: only bins with a trade are rows, and what zeros mean to products of neighbours follows
    from the distance between rows.
#}

{# The grids: bins of `step` minutes, the first of which ends `shift` minutes after the open
   (0: a whole step after it). #}
{% macro volatility_grids() -%}
    (values (1, 0), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4)) as g (step, shift)
{%- endmacro %}


{# Sessions a year, to annualise by. #}
{% macro sessions_a_year(calendar='calendar') -%}
    case {{ calendar }} when 'crypto' then 365 else 252 end
{%- endmacro %}


{# A logarithm or a product of returns as a sum takes it: exact whatever the order. #}
{% macro summand(value) -%}
    cast({{ value }} as decimal(38, 18))
{%- endmacro %}


{# The second largest of three. #}
{% macro median_of_three(a, b, c) -%}
    greatest(least({{ a }}, {{ b }}), least(greatest({{ a }}, {{ b }}), {{ c }}))
{%- endmacro %}


{# The number of bins of `step` minutes in a regular session of `minutes`. #}
{% macro bins_of(minutes, step) -%}
    cast(ceil(({{ minutes }}) / cast({{ step }} as double)) as integer)
{%- endmacro %}


{# sqrt(sessions a year x variance). #}
{% macro annualised(variance) -%}
    sqrt({{ sessions_a_year() }} * {{ variance }})
{%- endmacro %}


{# Sample variance of `count` values from their sum and the sum of their squares. #}
{% macro sample_variance(total, squares, count) -%}
    greatest(
        cast({{ squares }} as double) - power(cast({{ total }} as double), 2) / {{ count }}, 0
    ) / ({{ count }} - 1)
{%- endmacro %}


{# A decimal squared, as a sum takes it. #}
{% macro square(value) -%}
    {{ summand('power(cast(' ~ value ~ ' as double), 2)') }}
{%- endmacro %}


{# Yang and Zhang 2000: overnight, open to close and Rogers-Satchell variance over `count` days. #}
{% macro yang_zhang(overnight, close_open, rogers_satchell, count) -%}
    {%- set k = 0.34 / (1.34 + (count + 1) / (count - 1)) -%}
    ({{ overnight }} + {{ k }} * {{ close_open }} + {{ 1 - k }} * {{ rogers_satchell }})
{%- endmacro %}


{# What makes a sum of squared medians of three a variance (Andersen, Dobrev and Schaumburg 2012). #}
{% macro med_rv_factor() -%}
    pi() / (6 - 4 * sqrt(3) + pi())
{%- endmacro %}
