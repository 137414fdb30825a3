{# Counted rows per batch, unit and verdict of a dataset's bronze files: all of them when the
   account is made anew, else those landed since the hour of the first unseen commit. #}
{% macro landed_counts(dataset) %}
    {% set everything = source('landed', dataset ~ '_all') %}
    {% set recent = source('landed', dataset ~ '_landed') %}
    select
        '{{ dataset }}' as dataset,
        batch,
        unit,
        count(*) filter (where verdict = 'ok') as ok_rows,
        count(*) filter (where verdict = 'rejected') as rejected_rows,
        count(distinct position) as positions,
        min(position) as lowest_position,
        max(position) as highest_position
    from {{ everything if is_whole() else recent }}
    group by all
{% endmacro %}
