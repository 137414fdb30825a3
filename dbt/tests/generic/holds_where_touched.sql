{# `expression` is true of every row, looked for only in the parts that builds have replaced since
   the pin: history that did not change was tested when it did. #}
{% test holds_where_touched(model, expression, hour='event_hour') %}
    {% set name = model.schema ~ '.' ~ model.identifier %}
    select *
    from {{ model }}
    where
        (({{ expression }}) is distinct from true)
        and (
            exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ name }}')
            or {{ hour }} in (select hour from audit.dirty where is_open and model = '{{ name }}')
        )
{% endtest %}
