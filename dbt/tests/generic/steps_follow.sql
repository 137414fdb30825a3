{# A step report adds up: what a step leaves is what it met less what it removed, and what the next
   step meets. #}
{% test steps_follow(model, hour='event_hour') %}
    select *
    from (
        select
            *,
            lag(rows_out) over (
                partition by recipe, dataset, instrument_id, session_date order by step_number
            ) as rows_before
        from {{ model }}
        where {{ in_touched_parts([dirty_name(model)], hour) }}
    ) as steps
    where rows_removed < 0 or rows_out <> rows_in - rows_removed or rows_before <> rows_in
{% endtest %}
