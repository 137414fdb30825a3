{# The unit that a replayed row came in: what follows `replay:` in the unit it landed in. #}
{% macro own_unit(unit) -%}
    regexp_replace({{ unit }}, '^replay:', '')
{%- endmacro %}


{# Is a row of the ledger a replay? Its records were consumed, and counted, when they came. #}
{% macro is_replay(unit) -%}
    starts_with({{ unit }}, 'replay:')
{%- endmacro %}


{# Quarantined rows per batch of the replay that landed them: each row is one replay's, the first's. #}
{% macro replayed_counts(dataset) %}
    select
        '{{ dataset }}' as dataset,
        replayed_batch as batch,
        unit,
        count(*) as quarantined_rows
    from quarantine.{{ dataset }}
    where state = 'replayed'
    group by all
{% endmacro %}
