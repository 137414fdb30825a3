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
