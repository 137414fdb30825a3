{# No two rows have the same `columns`, looked for only in the parts that builds have replaced
   since the pin: history that did not change was tested when it did. A view names the touched
   table below it as `parent` (schema.name). #}
{% test unique_where_touched(model, columns, hour='event_hour', parent=none) %}
    select {{ columns | join(', ') }}, count(*) as copies
    from {{ model }}
    where {{ in_touched_parts([dirty_name(model, parent)], hour) }}
    group by all
    having count(*) > 1
{% endtest %}
