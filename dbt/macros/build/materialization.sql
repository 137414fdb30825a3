{#
    `touched`: a table whose changed parts are replaced, and nothing else.

    The model's SQL gives the rows of its scope. They are compared, part by part, with what stands
    there; only parts that differ are replaced, and each is written down in audit.dirty in the same
    transaction, so that children know, now or in a later build, and a kill leaves no half.

    Config, beside `by` and `reach` (touched.sql):
      valid      [from, until] columns of a table of versions; a change is then recorded as the
                 span of time in which the attributes changed
      derived    columns that follow from neighbouring rows and do not make a version differ
#}
{% materialization touched, adapter='duckdb' %}
    {% set target = this.incorporate(type='table') %}
    {% set whole = is_whole() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if whole %}
        {% if config.get('contract').enforced %}
            {% do get_assert_columns_equivalent(compiled_code) %}
        {% endif %}
        {% call statement('main') %}
            create or replace table {{ target }} as {{ compiled_code }}
        {% endcall %}
        {% call statement('mark') %}
            insert into audit.dirty
            select build_id, '{{ touched_name() }}', null, null, null, true, true from build.info
        {% endcall %}
        {% do build_state().wholes.update({touched_name(): true}) %}
        {% do build_state().dirty.update({touched_name(): true}) %}
    {% elif is_untouched() or not config.require('by') %}
        {% call statement('main') %} select 'nothing that it reads has changed' {% endcall %}
    {% else %}
        {% do replace_changed_parts(target) %}
    {% endif %}
    {% if build_state().checksums.get(touched_name()) != model_checksum() %}
        {% call statement('state') %}
            delete from build.model_state where model = '{{ touched_name() }}';
            insert into build.model_state values ('{{ touched_name() }}', '{{ model_checksum() }}')
        {% endcall %}
        {% do build_state().checksums.update({touched_name(): model_checksum()}) %}
    {% endif %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do return({'relations': [target]}) %}
{% endmaterialization %}


{% macro touched_name() %}
    {%- do return(this.schema ~ '.' ~ this.identifier) -%}
{% endmacro %}


{% macro replace_changed_parts(target) %}
    {% set by = config.require('by') %}
    {% set scope = create_scope() %}
    {% set fresh = this.identifier ~ '__fresh' %}
    {% set changed = this.identifier ~ '__changed' %}
    {% set columns = adapter.get_columns_in_relation(target) | map(attribute='quoted') | join(', ') %}
    {% set standing = rows_in_scope(target, scope, by) %}
    {% call statement('main') %}
        create or replace temp table {{ fresh }} as {{ compiled_code }}
    {% endcall %}
    {% call statement('compare') %}
        create or replace temp table {{ changed }} as
        select {{ using_columns(by, 'coalesce(n.{0}, o.{0}) as {0}') }}
        from ({{ part_digests(fresh, by, columns) }}) as n
        full join ({{ part_digests(standing, by, columns) }}) as o
            on {{ using_columns(by, 'n.{0} = o.{0}', ' and ') }}
        where n.digest is distinct from o.digest
    {% endcall %}
    {% if run_query("select count(*) from " ~ changed).rows[0][0] == 0 %}
        {% do run_query("drop table " ~ fresh ~ "; drop table " ~ changed) %}
        {% do return(none) %}
    {% endif %}
    {% do build_state().dirty.update({touched_name(): true}) %}
    {% call statement('record') %}
        insert into audit.dirty {{ changes_sql(fresh, standing, changed, by) }}
    {% endcall %}
    {% call statement('replace') %}
        delete from {{ target }} as t using {{ changed }} as c
        where {{ using_columns(by, 't.{0} = c.{0}', ' and ') }};
        insert into {{ target }} ({{ columns }})
        select {{ columns }} from {{ fresh }} as t
        where exists (select 1 from {{ changed }} as c where {{ using_columns(by, 't.{0} = c.{0}', ' and ') }});
        drop table {{ fresh }};
        drop table {{ changed }}
    {% endcall %}
{% endmacro %}


{% macro rows_in_scope(target, scope, by) %}
    {% set matches = [] %}
    {% for column in by %}
        {% do matches.append('t.' ~ column ~ ' = s.' ~ ('hour' if column.endswith('_hour') else column)) %}
    {% endfor %}
    {% do return('(select t.* from ' ~ target ~ ' as t where ' ~ scope_bounds(scope, by, 0, none)
        ~ ' and exists (select 1 from ' ~ scope ~ ' as s where ' ~ matches | join(' and ') ~ '))') %}
{% endmacro %}


{# A row per part with a digest that is equal only if the part holds the same rows. The sum guards
   against pairs of equal rows, which the exclusive or does not see. #}
{% macro part_digests(relation, by, columns) %}
    {% do return('select ' ~ by | join(', ') ~ ', (count(*), bit_xor(hash(' ~ columns
        ~ ')), sum(hash(' ~ columns ~ '))) as digest from ' ~ relation ~ ' as t group by '
        ~ by | join(', ')) %}
{% endmacro %}


{# Rows for audit.dirty that say what changed. #}
{% macro changes_sql(fresh, standing, changed, by) %}
    {% set key = 'c.instrument_id' if 'instrument_id' in by else 'null' %}
    {% set hour = hour_in(by) %}
    {% if hour %}
        {% do return("select build_id, '" ~ touched_name() ~ "', " ~ key ~ ", c." ~ hour
            ~ ", c." ~ hour ~ " + interval 1 hour, false, true from " ~ changed
            ~ " as c, build.info") %}
    {% endif %}
    {% set valid = config.get('valid') %}
    {% if not valid %}
        {% do return("select build_id, '" ~ touched_name() ~ "', " ~ key
            ~ ", null, null, false, true from " ~ changed ~ " as c, build.info") %}
    {% endif %}
    {% set skipped = config.get('derived', []) + [valid[1]] %}
    {% set shown = adapter.get_columns_in_relation(this) | map(attribute='name')
        | reject('in', skipped) | join(', ') %}
    {% set sides = [] %}
    {% for side, other in [(fresh, standing), (standing, fresh)] %}
        {% do sides.append("select instrument_id, " ~ valid | join(', ') ~ " from " ~ side
            ~ " as a where not exists (select 1 from (select hash(" ~ shown ~ ") as h from " ~ other
            ~ " as x) as b where b.h = hash(" ~ shown ~ "))") %}
    {% endfor %}
    {% do return("select build_id, '" ~ touched_name() ~ "', c.instrument_id, v.valid_from, v.valid_to, "
        ~ "false, true from build.info, " ~ changed ~ " as c left join (select instrument_id, min("
        ~ valid[0] ~ ") as valid_from, case when bool_or(" ~ valid[1] ~ " is null) then null else max("
        ~ valid[1] ~ ") end as valid_to from (" ~ sides | join(' union all ')
        ~ ") as versions group by instrument_id) as v on v.instrument_id = c.instrument_id") %}
{% endmacro %}


{% macro using_columns(columns, pattern, separator=', ') %}
    {% set shown = [] %}
    {% for column in columns %}
        {% do shown.append(pattern | replace('{0}', column)) %}
    {% endfor %}
    {% do return(shown | join(separator)) %}
{% endmacro %}
