{# The validities of one key leave no gap between them, except after a row of which `unless` holds. #}
{% test contiguous(model, key='instrument_id', valid_from='valid_from', valid_to='valid_to', unless='false') %}
    select *
    from ({{ followed_versions(model, key, valid_from, valid_to) }})
    where following is not null and {{ valid_to }} < following and not ({{ unless }})
{% endtest %}
