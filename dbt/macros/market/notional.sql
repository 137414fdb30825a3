{# price x quantity x multiplier, rounded once to 12 decimals. A product beyond 10^16 does not fit
   38 digits at full scale and is null: one absurd record must not stop every build. #}
{% macro notional(price_quantity, multiplier) -%}
    case
        when {{ price_quantity }}::double * coalesce({{ multiplier }}, 1)::double < 1e16
            then cast(
                {{ price_quantity }} * coalesce({{ multiplier }}, 1::decimal(18, 9))
                as decimal(38, 12)
            )
    end
{%- endmacro %}
