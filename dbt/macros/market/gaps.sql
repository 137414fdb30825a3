{# Gaps between trades and between their windows (analytics.md 4). #}

{# How many whole intervals of `step_ns` lie missing within a gap: ceil(gap / step) - 1. #}
{% macro missing_intervals(gap_ns, step_ns) -%}
    ({{ gap_ns }} - 1) // ({{ step_ns }})
{%- endmacro %}


{# The number of the UTC minute that holds a moment, or that begins with it. #}
{% macro minute_of(ns) -%}
    {{ ns }} // 60000000000
{%- endmacro %}


{# The hour that a gap's row belongs to: that of its end. The end of a session may be the first
   moment of the next, so a gap that lasts to the close belongs to the hour that ends there. #}
{% macro hour_of_gap(end_ns, is_closing) -%}
    {{ window_start('(' ~ end_ns ~ ' - case when ' ~ is_closing ~ ' then 1 else 0 end)', 3600) }}
{%- endmacro %}


{# A relation with one row, `threshold_ms`, per threshold of variable gap_thresholds_ms. #}
{% macro gap_thresholds() -%}
    (
        {%- for threshold in var('gap_thresholds_ms') %}
        select cast({{ threshold }} as bigint) as threshold_ms
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
