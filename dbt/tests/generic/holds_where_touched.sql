{# `condition` holds for every row, looked for only in the parts that builds have replaced since the
   pin. Null is not a failure. #}
{% test holds_where_touched(model, condition, hour='event_hour') %}
    {% set name = model.schema ~ '.' ~ model.identifier %}
    select *
    from {{ model }}
    where
        not ({{ condition }})
        and (
            exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ name }}')
            or {{ hour }} in (select hour from audit.dirty where is_open and model = '{{ name }}')
        )
{% endtest %}
