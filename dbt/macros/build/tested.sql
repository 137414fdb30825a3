{# What a test of a table cut by key has to look at: the keys that builds have replaced since the
   pin, everything after a whole rebuild. `parent` is the touched table (schema.name). #}
{% macro key_was_touched(parent, key='instrument_id') %}
    (
        exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ parent }}')
        or {{ key }} in (select instrument_id from audit.dirty where is_open and model = '{{ parent }}')
    )
{%- endmacro %}

