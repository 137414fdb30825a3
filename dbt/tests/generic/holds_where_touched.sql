{# `expression` is true of every row, looked for only in the parts that builds have replaced since
   the pin: history that did not change was tested when it did. #}
{% test holds_where_touched(model, expression, hour='event_hour') %}
    select *
    from {{ model }}
    where ({{ expression }}) is distinct from true and {{ in_touched_parts([dirty_name(model)], hour) }}
{% endtest %}
