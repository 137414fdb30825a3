{# The intervals [valid_from, valid_to) of one key do not overlap, none is empty or ends before it
   begins, and between them is no gap, but after a row of which `gap_after` holds or before one of
   which `gap_before` holds (conditions over the model's columns). `gap_after: "true"` allows every
   gap. Only the last interval of a key may be open (valid_to null), and is, unless a gap may follow.

     key     column or list of columns
     hour    the column by which only touched parts are looked at; intervals must then not cross
             hours. Default none: all rows. `parent` as for unique_where_touched. #}
{% test no_overlap(
    model, key='instrument_id', valid_from='valid_from', valid_to='valid_to', gap_after='false',
    gap_before='false', hour=none, parent=none
) %}
    {% set keys = columns_of(key) %}
    {% set key = keys | join(', ') %}
    select *
    from (
        select
            {{ key }},
            {{ valid_from }} as starts,
            {{ valid_to }} as ends,
            coalesce({{ gap_after }}, false) as gap_after,
            lead({{ valid_from }}) over followed as following,
            coalesce(lead({{ gap_before }}) over followed, false) as gap_before
        from {{ model }}
        where
            {{ in_touched_parts([dirty_name(model, parent)], hour) }}
            {% if keys == ['instrument_id'] and not hour %}
                -- most keys of a table of versions have one row: those need no order
                and {{ key_was_touched(dirty_name(model, parent)) }}
                and (
                    {{ valid_from }} >= {{ valid_to }}
                    or instrument_id in (
                        select instrument_id from {{ model }} group by instrument_id having count(*) > 1
                    )
                )
            {% endif %}
        window followed as (partition by {{ key }} order by {{ valid_from }}, {{ valid_to }} nulls last)
    ) as intervals
    where
        starts > ends
        or (starts = ends and not gap_after) -- an end of no length, as a deletion is
        or (ends is null and following is not null)
        or ends > following
        or (ends is distinct from following and not gap_after and not gap_before)
{% endtest %}
