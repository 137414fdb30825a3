{# An account closes: no line has a difference, in rows, quantity or notional. #}
{% test closes(model) %}
    {% set wrong = [] %}
    {% for column in adapter.get_columns_in_relation(model) %}
        {% if column.name.endswith('difference') %}
            {% do wrong.append(column.name ~ ' <> 0') %}
        {% elif column.name == 'has_right_positions' %}
            {% do wrong.append('not has_right_positions') %}
        {% endif %}
    {% endfor %}
    select * from {{ model }} where {{ wrong | join(' or ') if wrong else 'true' }}
{% endtest %}
