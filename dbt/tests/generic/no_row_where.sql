{# No row fulfils `condition`, in the parts that builds have replaced since the pin. #}
{% test no_row_where(model, condition, hour='event_hour') %}
    {% set name = model.schema ~ '.' ~ model.identifier %}
    select *
    from {{ model }}
    where
        ({{ condition }})
        and (
            exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ name }}')
            or {{ hour }} in (select hour from audit.dirty where is_open and model = '{{ name }}')
        )
{% endtest %}
