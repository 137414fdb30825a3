{# Two tables have the same sums for every key, exactly; a key that only one of them has is a
   difference, unless all its sums there are 0.

     other    the relation to compare with
     key      columns that both have; null is a key like others
     columns  what is summed: names of columns, or `name: expression` with the SQL for each side as
              a list [of this model, of the other]; rows are counted by `rows: ["1", "1"]`
     where, other_where  which rows count
     hour     a column of both, by which only touched parts are looked at (default none: all) #}
{% test sums_match(
    model, other, key, columns, where='true', other_where='true', hour=none, parent=none,
    other_parent=none
) %}
    {% set key = columns_of(key) %}
    {% set pairs = [] %}
    {% if columns is mapping %}
        {% for name, sides in columns.items() %}
            {% do pairs.append((name, sides[0], sides[1])) %}
        {% endfor %}
    {% else %}
        {% for name in columns %}{% do pairs.append((name, name, name)) %}{% endfor %}
    {% endif %}
    {% set touched = in_touched_parts([dirty_name(model, parent), dirty_name(other, other_parent)], hour) %}
    with here as (
        select
            {{ key | join(', ') }}
            {%- for name, ours, theirs in pairs %}, coalesce(sum({{ ours }}), 0) as {{ name }}{% endfor %}
        from {{ model }}
        where ({{ where }}) and {{ touched }}
        group by {{ key | join(', ') }}
    ),

    there as (
        select
            {{ key | join(', ') }}
            {%- for name, ours, theirs in pairs %}, coalesce(sum({{ theirs }}), 0) as {{ name }}{% endfor %}
        from {{ other }}
        where ({{ other_where }}) and {{ touched }}
        group by {{ key | join(', ') }}
    )

    select
        {%- for column in key %} coalesce(a.{{ column }}, b.{{ column }}) as {{ column }},{% endfor %}
        {%- for name, ours, theirs in pairs %}
        coalesce(a.{{ name }}, 0) as {{ name }},
        coalesce(b.{{ name }}, 0) as other_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from here as a
    full join there as b on {{ same_key(key) }}
    where
        {% for name, ours, theirs in pairs -%}
        coalesce(a.{{ name }}, 0) <> coalesce(b.{{ name }}, 0){{ ' or ' if not loop.last }}
        {%- endfor %}
{% endtest %}
