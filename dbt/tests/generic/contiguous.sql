{# The intervals [valid_from, valid_to) of one key follow each other: each begins where the one before
   it ended, without gap or overlap. The first may begin and the last may end anywhere.

     key     column or list of columns
     hour, parent  as for no_overlap #}
{% test contiguous(
    model, key='instrument_id', valid_from='valid_from', valid_to='valid_to', hour=none, parent=none
) %}
    {% set key = columns_of(key) | join(', ') %}
    select *
    from (
        select
            {{ key }},
            {{ valid_from }} as starts,
            {{ valid_to }} as ends,
            lag({{ valid_to }}) over before as ended,
            row_number() over before as place
        from {{ model }}
        where {{ in_touched_parts([dirty_name(model, parent)], hour) }}
        window before as (partition by {{ key }} order by {{ valid_from }}, {{ valid_to }} nulls last)
    ) as intervals
    where starts >= ends or (place > 1 and starts is distinct from ended)
{% endtest %}
