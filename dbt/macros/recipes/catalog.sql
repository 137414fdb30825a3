{#
    Cleaning recipes (analytics.md 25, docs/recipes.md): named and versioned lists of steps, each of
    which removes rows or merges rows of one moment into one. Which are built is said by variable
    `cleaning_recipes`; a recipe that is not named there costs nothing.

    A step of a recipe:
      step      its code, unique in the recipe and dataset; the order of the list is the order of work
      rule      what it removes, in words
      remove    SQL condition of the rows that go
      measures  lists of `expression as name` that the condition needs, each list over the one before;
                windows see what earlier steps left (`alive()`)
      change    {column: expression}: what becomes of the rows that stay
    Steps without `measures` and `change` are done in one pass.
#}
{% macro recipe_versions() %}
    {% do return({
        'bn2009': 1,
        'highfrequency': 1,
        'brownlees_gallo': 1,
        'holden_jacobsen': 1,
        'sip_conditions': 1,
        'dick_nielsen': 1,
        'luld': 1,
    }) %}
{% endmacro %}


{# The recipes to build that have steps for `dataset` (trades or quotes). #}
{% macro active_recipes(dataset) %}
    {% set found = [] %}
    {% for name in var('cleaning_recipes') %}
        {% if name not in recipe_versions() %}
            {% do exceptions.raise_compiler_error(
                "there is no cleaning recipe '" ~ name ~ "' (variable cleaning_recipes); there are "
                ~ recipe_versions().keys() | join(', ')
            ) %}
        {% endif %}
        {% if recipe_steps_of(name, dataset) %}{% do found.append(name) %}{% endif %}
    {% endfor %}
    {% do return(found) %}
{% endmacro %}


{% macro recipe_steps_of(name, dataset) %}
    {% do return(quote_recipe_steps(name) if dataset == 'quotes' else trade_recipe_steps(name)) %}
{% endmacro %}


{# Every step of every active recipe as rows (recipe, recipe_version, dataset, step_number, step, rule). #}
{% macro recipe_catalog() %}
    {% set rows = [] %}
    {% for dataset in ['trades', 'quotes'] %}
        {% for name in active_recipes(dataset) %}
            {% for step in recipe_steps_of(name, dataset) %}
                {% do rows.append("('" ~ name ~ "', " ~ recipe_versions()[name] ~ ", '" ~ dataset ~ "', "
                    ~ loop.index ~ ", '" ~ step.step ~ "', '" ~ step.rule ~ "')") %}
            {% endfor %}
        {% endfor %}
    {% endfor %}
    select *
    from (
        values
        {{ rows | join(',\n        ') }}
    ) as steps (recipe, recipe_version, dataset, step_number, step, rule)
{% endmacro %}
