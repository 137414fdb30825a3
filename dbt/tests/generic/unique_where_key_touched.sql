{# No two rows have the same `columns`, among the keys that builds have replaced since the pin:
   for tables that are cut by key. #}
{% test unique_where_key_touched(model, columns, key='instrument_id') %}
    select {{ columns | join(', ') }}, count(*) as copies
    from {{ model }}
    where {{ key_was_touched(dirty_name(model), key) }}
    group by all
    having count(*) > 1
{% endtest %}
