{# A decimal as text without exponent and trailing zeros: 1.10 and 1.1 are the same. #}
{% macro canonical(column) -%}
    case when contains({{ column }}::varchar, '.')
        then rtrim(rtrim({{ column }}::varchar, '0'), '.') else {{ column }}::varchar end
{%- endmacro %}


{# md5 of the given expressions as one canonical string: absent is empty, parts are set apart by
   the unit separator. Ids are the same on every engine. #}
{% macro key_of(expressions) -%}
    md5(concat_ws(chr(31), {% for e in expressions %}coalesce(({{ e }})::varchar, ''){{ ", " if not loop.last }}{% endfor %}))
{%- endmacro %}
