{# The condition that a row lies in a part that builds have replaced since the pin: history that did
   not change was tested when it did. `tables` are names of touched models (schema.name); true where
   one of them was made whole. Where `hour` is none, every row is looked at. #}
{% macro in_touched_parts(tables, hour) -%}
    {%- if hour is none -%} true
    {%- else -%}
    (
        exists (select 1 from audit.dirty where is_open and is_whole and model in ({{ quoted_list(tables) }}))
        or {{ hour }} in (select hour from audit.dirty where is_open and model in ({{ quoted_list(tables) }}))
    )
    {%- endif -%}
{%- endmacro %}


{# What a test of a table cut by key has to look at: the keys that builds have replaced since the
   pin, everything after a whole rebuild. `parent` is the touched table (schema.name). #}
{% macro key_was_touched(parent, key='instrument_id') %}
    (
        exists (select 1 from audit.dirty where is_open and is_whole and model = '{{ parent }}')
        or {{ key }} in (select instrument_id from audit.dirty where is_open and model = '{{ parent }}')
    )
{%- endmacro %}


{# Columns named by a list, or by one text. #}
{% macro columns_of(names) -%}
    {%- do return([names] if names is string else names) -%}
{%- endmacro %}


{# The name under which a relation's changes stand in audit.dirty, unless `named` says another: a view
   has none of its own. #}
{% macro dirty_name(relation, named=none) -%}
    {%- do return(named or relation.schema ~ '.' ~ relation.identifier) -%}
{%- endmacro %}


{# Two joined rows differ in one of `columns`; null equals null. #}
{% macro differs(columns, left='a', right='b') -%}
    {%- set found = [] -%}
    {%- for column in columns -%}
        {%- do found.append(left ~ '.' ~ column ~ ' is distinct from ' ~ right ~ '.' ~ column) -%}
    {%- endfor -%}
    ({{ found | join(' or ') }})
{%- endmacro %}


{# Two relations joined by equal keys, where a key may be null. #}
{% macro same_key(columns, left='a', right='b') -%}
    {%- set found = [] -%}
    {%- for column in columns -%}
        {%- do found.append(left ~ '.' ~ column ~ ' is not distinct from ' ~ right ~ '.' ~ column) -%}
    {%- endfor -%}
    {{ found | join(' and ') }}
{%- endmacro %}
