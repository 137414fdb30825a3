{# The validities of one key follow each other without overlap; so at most one of them is open. #}
{% test no_overlap(model, key='instrument_id', valid_from='valid_from', valid_to='valid_to') %}
    select *
    from ({{ followed_versions(model, key, valid_from, valid_to) }})
    where following is not null and ({{ valid_to }} is null or {{ valid_to }} > following)
{% endtest %}
