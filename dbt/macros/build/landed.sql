{# A dataset's landed rows of both verdicts: all of them when the account is made anew (`whole`),
   else those landed since the hour of the first unseen commit. #}
{% macro landed_rows(dataset, whole) %}
    {% set everything = source('landed', dataset ~ '_all') %}
    {% set recent = source('landed', dataset ~ '_landed') %}
    {% do return(everything if whole else recent) %}
{% endmacro %}


{# Rows of a dataset's bronze files per batch and unit, of replays or of everything else. #}
{% macro landed_counts(dataset, whole, replays) %}
    select
        '{{ dataset }}' as dataset,
        batch,
        unit,
        count(*) filter (where verdict = 'ok') as ok_rows,
        count(*) filter (where verdict = 'rejected') as rejected_rows,
        count(distinct position) as positions,
        min(position) as lowest_position,
        max(position) as highest_position
    from {{ landed_rows(dataset, whole) }}
    where {{ 'not' if not replays }} {{ is_replay('unit') }}
    group by all
{% endmacro %}
