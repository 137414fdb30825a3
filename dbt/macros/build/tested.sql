{# What a test of a table cut by key has to look at: the keys that builds have replaced since the
   pin, everything after a whole rebuild. `parent` is the touched table (schema.name). #}
{% macro key_was_touched(parent, key='instrument_id') %}
    (
        exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ parent }}')
        or {{ key }} in (select instrument_id from audit.dirty where is_open and model = '{{ parent }}')
    )
{%- endmacro %}


{# The rows of `model` whose key was touched and has several rows, with where the next one starts. #}
{% macro followed_versions(model, key, valid_from, valid_to) %}
    select *, lead({{ valid_from }}) over (partition by {{ key }} order by {{ valid_from }}, {{ valid_to }}) as following
    from {{ model }}
    where {{ key }} in (
        select {{ key }}
        from {{ model }}
        where {{ key_was_touched(model.schema ~ '.' ~ model.identifier, key) }}
        group by {{ key }}
        having count(*) > 1
    )
{% endmacro %}
