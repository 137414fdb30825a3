{# Every recipe meets each row of `other` (of which `other_where` holds) once: rows per recipe, instrument and hour are as many as
   there. `other` is a name (schema.table) and no `ref`: a test with two parents would stay when its
   model is switched off. `except_recipe` names one that meets more. #}
{% test meets_every_row(model, other, other_where='true', except_recipe='') %}
    {% set touched = in_touched_parts([dirty_name(model), other], 'event_hour') %}
    with met as (
        select recipe, instrument_id, event_hour, count(*) as n
        from {{ model }}
        where recipe <> '{{ except_recipe }}' and {{ touched }}
        group by recipe, instrument_id, event_hour
    ),

    there as (
        select r.recipe, o.instrument_id, o.event_hour, o.n
        from (
            select instrument_id, event_hour, count(*) as n
            from {{ other }}
            where ({{ other_where }}) and {{ touched }}
            group by instrument_id, event_hour
        ) as o
        cross join (select distinct recipe from {{ model }} where recipe <> '{{ except_recipe }}') as r
    )

    select a.*, b.n as others
    from met as a
    full join there as b on {{ same_key(['recipe', 'instrument_id', 'event_hour']) }}
    where a.n is distinct from b.n
{% endtest %}
