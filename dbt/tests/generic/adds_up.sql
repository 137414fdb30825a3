{# A column is the sum of others wherever all are known, in the parts that builds have replaced since
   the pin. #}
{% test adds_up(model, whole, parts, hour='event_hour') %}
    {% set name = model.schema ~ '.' ~ model.identifier %}
    select *
    from {{ model }}
    where
        {{ whole }} <> {{ parts | join(' + ') }}
        and (
            exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ name }}')
            or {{ hour }} in (select hour from audit.dirty where is_open and model = '{{ name }}')
        )
{% endtest %}
