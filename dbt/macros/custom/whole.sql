{#
    `whole`: a table made anew by every build from the model's select, and published when it differs.
    What models/custom holds is made this way unless it says otherwise. Types that a published table
    does not have are turned into one that it has: `publishable` says which.
#}
{% materialization whole, adapter='duckdb' %}
    {% set target = this.incorporate(type='table') %}
    {% set standing = load_cached_relation(this) %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(compiled_code) %}
    {% endif %}
    {% if standing is not none and standing.type == 'view' %}
        {% do adapter.drop_relation(standing) %}
    {% endif %}
    {% call statement('main') %}
        create or replace table {{ target }} as
        select {{ publishable_columns(compiled_code) }} from ({{ compiled_code }}) as custom
    {% endcall %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {% do return({'relations': [target]}) %}
{% endmaterialization %}


{# The columns of a select, each in a type that a published table has. #}
{% macro publishable_columns(select) %}
    {% set columns = [] %}
    {% for row in run_query('describe ' ~ select) %}
        {% set name, type = adapter.quote(row[0]), publishable(row[1]) %}
        {% do columns.append(name if type == row[1] else 'cast(' ~ name ~ ' as ' ~ type ~ ') as ' ~ name) %}
    {% endfor %}
    {% do return(columns | join(', ')) %}
{% endmacro %}


{# The type in which a DuckDB type is published: Delta knows no unsigned and no huge integers, no
   times of day and no intervals; a timestamp without zone is taken for UTC. #}
{% macro publishable(type) %}
    {% set as_published = {
        'HUGEINT': 'decimal(38, 0)', 'UHUGEINT': 'decimal(38, 0)', 'BIGNUM': 'decimal(38, 0)',
        'UBIGINT': 'decimal(20, 0)', 'UINTEGER': 'bigint', 'USMALLINT': 'integer', 'UTINYINT': 'integer',
        'SMALLINT': 'integer', 'TINYINT': 'integer',
        'TIMESTAMP': 'timestamptz', 'TIMESTAMP_S': 'timestamptz', 'TIMESTAMP_MS': 'timestamptz',
        'TIMESTAMP_NS': 'timestamptz', 'TIME': 'varchar', 'TIME WITH TIME ZONE': 'varchar',
        'INTERVAL': 'varchar', 'UUID': 'varchar', 'JSON': 'varchar', 'BIT': 'varchar', '"NULL"': 'varchar',
        'NULL': 'varchar', 'FLOAT': 'double',
    } %}
    {% do return('varchar' if type.startswith('ENUM') else as_published.get(type, type)) %}
{% endmacro %}
