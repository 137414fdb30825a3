{#
    On Spark the core models are built whole, each by one `create table as`: what a touched model
    keeps of its parts lives in the warehouse file of DuckDB. A view is a view.
#}
{% materialization touched, adapter='spark' %}
    {{ return(made_on_spark('table')) }}
{% endmaterialization %}


{% materialization whole, adapter='spark' %}
    {{ return(made_on_spark('table')) }}
{% endmaterialization %}


{% materialization view, adapter='spark' %}
    {{ return(made_on_spark('view')) }}
{% endmaterialization %}


{% macro made_on_spark(kind) %}
    {% set target_relation = this.incorporate(type=kind) %}
    {{ run_hooks(pre_hooks) }}
    {% call statement('drop') %} drop {{ kind }} if exists {{ target_relation }} {% endcall %}
    {% call statement('main') %}
        create {{ kind }} {{ target_relation }} {{ 'using parquet' if kind == 'table' }} as
        {{ spelled_for_spark(compiled_code) }}
    {% endcall %}
    {{ run_hooks(post_hooks) }}
    {% do return({'relations': [target_relation]}) %}
{% endmacro %}


{# The same SQL as Spark spells it. Words only: what works differently is in dispatched macros. #}
{% macro spelled_for_spark(sql) %}
    {% set spelled = namespace(sql=sql) %}
    {% for duckdb, spark in [
        ('\\bas (not )?materialized \\(', 'as ('),
        ('\\(([^()]*) ignore nulls\\)', '(\\1) ignore nulls'),
        ('\\bmake_timestamptz\\(', 'timestamp_micros('),
        ('\\bepoch_us\\(', 'unix_micros('),
        ('\\bstarts_with\\(', 'startswith('),
        ('\\bunnest\\(generate_series\\(', 'explode(sequence('),
        ('\\bubigint\\b', 'decimal(20, 0)'),
        (' // ', ' div '),
        (',(\\s+from\\s)', '\\1'),
        ('\\* exclude \\(', '* except ('),
        ('\\bvarchar\\b', 'string'),
        ('\\btimestamptz\\b', 'timestamp'),
    ] %}
        {% set spelled.sql = modules.re.sub(duckdb, spark, spelled.sql) %}
    {% endfor %}
    {% do return(spelled.sql) %}
{% endmacro %}


{# Bronze as `python -m lake.spark` laid it out. #}
{% macro create_bronze_on_spark() %}
    {% set top = env_var('LAKE_SPARK', '/tmp/ticklake-spark') ~ '/bronze/' %}
    {% do run_query('create database if not exists bronze') %}
    {% for dataset in datasets() %}
        {% do run_query('drop table if exists bronze.' ~ dataset) %}
        {% do run_query("create table bronze." ~ dataset ~ " using parquet options (path '" ~ top ~ dataset
            ~ "', mergeSchema 'true')") %}
    {% endfor %}
{% endmacro %}


{# A seed's table, with the types that its yml gives as Spark spells them. #}
{% macro spark__create_csv_table(model, agate_table) %}
    {% set types = model['config'].get('column_types', {}) %}
    {% set columns = [] %}
    {% for name in agate_table.column_names %}
        {% set kind = types.get(name, adapter.convert_type(agate_table, loop.index0)) %}
        {% do columns.append('`' ~ name ~ '` ' ~ spelled_for_spark(kind)) %}
    {% endfor %}
    {% call statement('_') %} drop table if exists {{ this }} {% endcall %}
    {% call statement('_') %}
        create table {{ this.render() }} ({{ columns | join(', ') }}) using parquet
    {% endcall %}
    {% do return('') %}
{% endmacro %}


{# Its rows, as literals: a seed is small. #}
{% macro spark__load_csv_rows(model, agate_table) %}
    {% set types = model['config'].get('column_types', {}) %}
    {% set rows = [] %}
    {% for row in agate_table.rows %}
        {% set values = [] %}
        {% for name in agate_table.column_names %}
            {% set kind = spelled_for_spark(types.get(name, adapter.convert_type(agate_table, loop.index0))) %}
            {% set value = 'null' if row[name] is none else "'" ~ (row[name] | string | replace("'", "\\'")) ~ "'" %}
            {% do values.append('cast(' ~ value ~ ' as ' ~ kind ~ ')') %}
        {% endfor %}
        {% do rows.append('(' ~ values | join(', ') ~ ')') %}
    {% endfor %}
    {% set sql = 'insert into ' ~ this.render() ~ ' values ' ~ rows | join(', ') %}
    {% do adapter.add_query(sql) %}
    {% do return(sql) %}
{% endmacro %}
