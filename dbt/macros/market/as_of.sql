{# Every row of `points` with what was in force at its moment `at`: the latest row of `states` of its
   `keys` that began by then (`op` is `>=`) or before it (`>`).
     since    when a state began: one row of `states` per key and moment
     columns  of the states to hand on, a list of names or {name there: name here}; null where
              nothing had begun
   The as-of join is DuckDB's. #}
{% macro as_of(points, states, since, columns, keys=['instrument_id'], at='event_ts_ns', op='>=') %}
    select
        p.*
        {%- for column in columns %},
        s.{{ column }}{% if columns is mapping %} as {{ columns[column] }}{% endif %}
        {%- endfor %}
    from {{ points }} as p
    asof left join {{ states }} as s
        on {{ using_columns(keys, 'p.{0} = s.{0}', ' and ') }} and p.{{ at }} {{ op }} s.{{ since }}
{% endmacro %}
