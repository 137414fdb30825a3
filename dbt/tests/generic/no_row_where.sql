{# No row fulfils `condition`, in the parts that builds have replaced since the pin. #}
{% test no_row_where(model, condition, hour='event_hour') %}
    select *
    from {{ model }}
    where ({{ condition }}) and {{ in_touched_parts([dirty_name(model)], hour) }}
{% endtest %}
