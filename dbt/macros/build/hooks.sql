{# on-run-start: find out which parts of bronze are news. #}
{% macro begin_build() %}
    {% if execute and target.type == 'spark' and flags.WHICH in ['build', 'run'] %}
        {% do create_bronze_on_spark() %}
    {% elif execute and flags.WHICH in ['build', 'run'] %}
        {% do adapter.store_relation('lake_plugin', this, [], '', '', {'step': 'begin'}) %}
        {% do graph.pop('ticklake_build', none) %}
        {% do build_state() %}
    {% endif %}
{% endmacro %}


{# on-run-end: publish what was rebuilt and tested, and advance the pin if all of it was. #}
{% macro end_build(results) %}
    {% if execute and target.type == 'duckdb' and flags.WHICH in ['build', 'run'] %}
        {% set request = {'step': 'end', 'command': flags.WHICH, 'results': [], 'models': [], 'tests': []} %}
        {% set sql = {} %}
        {% for result in results %}
            {% do request['results'].append({'id': result.node.unique_id, 'status': result.status | string}) %}
            {% do sql.update({result.node.unique_id: result.node.compiled_code}) %}
        {% endfor %}
        {% for node in graph.nodes.values() %}
            {% if node.resource_type == 'model' %}
                {% do request['models'].append(described_model(node, sql.get(node.unique_id))) %}
            {% elif node.resource_type == 'test' and is_tested_here(node) %}
                {% set parents = [] %}
                {% for id in node.depends_on.nodes if id.startswith('model.') %}
                    {% do parents.append(id) %}
                {% endfor %}
                {% do request['tests'].append({
                    'id': node.unique_id,
                    'severity': node.config.severity | lower,
                    'parents': parents,
                }) %}
            {% endif %}
        {% endfor %}
        {% do adapter.store_relation('lake_plugin', this, [], '', '', request) %}
    {% endif %}
{% endmacro %}


{# Does a test speak of models that are there? dbt keeps those of a model that is switched off, and
   does not run them. #}
{% macro is_tested_here(node) %}
    {% if node.attached_node and node.attached_node not in graph.nodes %}
        {% do return(false) %}
    {% endif %}
    {% for id in node.depends_on.nodes if id.startswith('model.') and id not in graph.nodes %}
        {% do return(false) %}
    {% endfor %}
    {% do return(true) %}
{% endmacro %}


{# What publication has to know of a model. A view is published as its own SQL, without the name
   of the warehouse in it. #}
{% macro described_model(node, compiled) %}
    {% set is_view = node.config.materialized == 'view' %}
    {% set warehouse = adapter.quote(node.database) ~ '.' %}
    {% do return({
        'id': node.unique_id,
        'schema': node.schema,
        'name': node.alias,
        'kind': 'view' if is_view else 'table',
        'by': node.config.get('by', []),
        'is_touched': node.config.materialized == 'touched',
        'sql': (compiled or '') | replace(warehouse, '') if is_view else '',
        'published': node.schema in ['silver', 'gold', 'audit'] and node.config.get('published', true),
    }) %}
{% endmacro %}
