{# No two rows have the same `columns`, looked for only in the parts that builds have replaced
   since the pin: history that did not change was tested when it did. A view names the touched
   table below it as `parent` (schema.name). #}
{% test unique_where_touched(model, columns, hour='event_hour', parent=none) %}
    {% set name = parent or model.schema ~ '.' ~ model.identifier %}
    select {{ columns | join(', ') }}, count(*) as copies
    from {{ model }}
    where
        exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ name }}')
        or {{ hour }} in (select hour from audit.dirty where is_open and model = '{{ name }}')
    group by all
    having count(*) > 1
{% endtest %}
