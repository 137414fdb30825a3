{# A column is the sum of others wherever all are known, in the parts that builds have replaced since
   the pin. #}
{% test adds_up(model, whole, parts, hour='event_hour') %}
    select *
    from {{ model }}
    where {{ whole }} <> {{ parts | join(' + ') }} and {{ in_touched_parts([dirty_name(model)], hour) }}
{% endtest %}
