{#
    What a print may do (analytics.md 2): set a price, add to volume. Conditions are text in the
    form of their feed, `sip` letters or `lean` flags in hexadecimal; seed sale_conditions says
    what each code means.
#}

{# One row per text of conditions among `trades`: may it set a price, add to volume, is it a cross
   or an extended-hours print. #}
{% macro judged_conditions(trades) %}
    select
        t.condition_form,
        t.conditions,
        coalesce(bool_and(c.is_price_eligible), true) as sets_price,
        coalesce(bool_and(c.is_volume_eligible), true) as adds_volume,
        coalesce(bool_or(c.is_cross), false) as is_cross,
        coalesce(bool_or(c.is_extended), false) as is_extended
    from (
        select distinct condition_form, conditions from {{ trades }} where conditions is not null
    ) as t
    left join {{ ref('sale_conditions') }} as c
        on t.condition_form = c.form
        and case
            when t.condition_form = 'sip' then contains(t.conditions, c.code)
            else {{ hex_of('t.conditions') }} & {{ hex_of('c.code') }} <> 0
        end
    group by t.condition_form, t.conditions
{% endmacro %}


{# Hexadecimal text as an integer; null if it is none. #}
{% macro duckdb__hex_of(text) -%}
    try_cast('0x' || {{ text }} as ubigint)
{%- endmacro %}


{# The trades that gaps, outliers, velocity, trade quality and price discovery look at. #}
{% macro trade_filter(alias='') -%}
    {%- set of = alias ~ '.' if alias else '' -%}
    {%- if var('trade_filter') == 'all' -%} true
    {%- else -%} ({{ of }}is_price_eligible and not {{ of }}is_cross) {%- endif -%}
{%- endmacro %}


{# The type of session a trade or quote falls in, from its row of silver.sessions `s`. #}
{% macro session_type(ns, s='s') -%}
    case
        when {{ ns }} < {{ s }}.extended_open_ns or {{ ns }} >= {{ s }}.extended_close_ns then 'closed'
        when {{ ns }} < {{ s }}.regular_open_ns then 'pre'
        when {{ ns }} < {{ s }}.regular_close_ns then 'regular'
        when {{ s }}.regular_close_ns is not null then 'post'
        else 'closed'
    end
{%- endmacro %}
