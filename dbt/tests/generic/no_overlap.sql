{# The validities of one key follow each other without overlap and without a gap. #}
{% test no_overlap(model, key='instrument_id', valid_from='valid_from', valid_to='valid_to') %}
    select *
    from (
        select
            {{ key }},
            {{ valid_to }},
            lead({{ valid_from }}) over (partition by {{ key }} order by {{ valid_from }}) as following
        from {{ model }}
    )
    where {{ valid_to }} is distinct from following
{% endtest %}
