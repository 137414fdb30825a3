{# Is a row of `alias` in a part that this model recomputes? For models that read more than their
   scope (hours_back, hours_after) to look around: what was read only for that is not theirs. #}
{% macro in_scope(alias) %}
    {% if not execute or model.resource_type != 'model' or is_whole() %}
        {% do return('true') %}
    {% endif %}
    {% if is_untouched() %}
        {% do return('false') %}
    {% endif %}
    {% set matches = [] %}
    {% for column in config.require('by') %}
        {% do matches.append(alias ~ '.' ~ column ~ ' = s.' ~ ('hour' if column.endswith('_hour') else column)) %}
    {% endfor %}
    {% do return('exists (select 1 from ' ~ create_scope() ~ ' as s where ' ~ matches | join(' and ') ~ ')') %}
{% endmacro %}
