{#
    Prints that stray (analytics.md 5). The reference of a print is the median of up to 50 prints
    before it in its session (`rolling_median50`), or their mean (`rolling_mean50`: the common rule,
    which the print that it should catch spoils). With fewer than 20 before it, it is the previous
    official close, and the limit twice as wide. Comparisons are exact: nothing is divided.
#}

{# Columns over window `prior`: how many prints went before, and what the reference is made of:
   the two middle ones, or sum and count. #}
{% macro duckdb__prior_prices() %}
    {%- if var('outlier_method') == 'rolling_mean50' %}
        cast(coalesce(sum(price) over prior, 0) as decimal(38, 9)) as prior_low,
        cast(coalesce(sum(price) over prior, 0) as decimal(38, 9)) as prior_high,
        count(*) over prior as prior_count
    {%- else %}
        {{ lower_median('price') }} over prior as prior_low,
        -{{ lower_median('-price') }} over prior as prior_high,
        count(*) over prior as prior_count
    {%- endif %}
{%- endmacro %}


{# The smaller of the two middle values of an even number, the middle one of an odd number. #}
{% macro lower_median(value) -%}
    quantile_disc({{ value }}, 0.5)
{%- endmacro %}


{# Does the print of a row with those columns stray further than the limit? #}
{% macro strays() -%}
    {%- if var('outlier_method') == 'rolling_mean50' -%}
        prior_count = {{ var('outlier_window') }}
        and abs(price * prior_count - prior_low) * 100 > {{ var('outlier_pct') }} * prior_low
    {%- else -%}
        case
            when prior_count >= 20
                then abs(2 * cast(price as decimal(38, 9)) - (cast(prior_low as decimal(38, 9)) + prior_high))
                    * 100 > {{ var('outlier_pct') }} * (cast(prior_low as decimal(38, 9)) + prior_high)
            else abs(cast(price as decimal(38, 9)) - previous_close) * 100
                > {{ 2 * var('outlier_pct') }} * cast(previous_close as decimal(38, 9))
        end
    {%- endif -%}
{%- endmacro %}


{# The reference itself, currency. #}
{% macro reference_price(alias) -%}
    cast(
        {%- if var('outlier_method') == 'rolling_mean50' %}
        {{ alias }}.prior_low / {{ alias }}.prior_count
        {%- else %}
        case
            when {{ alias }}.prior_count >= 20 then ({{ alias }}.prior_low + {{ alias }}.prior_high) / 2
            else {{ alias }}.previous_close
        end
        {%- endif %} as decimal(18, 9)
    )
{%- endmacro %}
