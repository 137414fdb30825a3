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


{# Rows of rule `content`: without id or sequence, the k-th equal row of one delivery is an event of
   its own, and the k-th of another delivery is its copy. `parts` is what makes two rows equal. #}
{% macro counted_contents(landed, parts) %}
    select
        *,
        row_number() over (partition by delivery_unit, fingerprint order by position) as occurrence
    from (
        select
            *,
            substr(sha256(concat_ws(
                chr(31) {%- for part in parts %}, coalesce(({{ part }})::varchar, ''){% endfor %}
            )), 1, 32) as fingerprint
        from {{ landed }}
        where dedup_rule = 'content'
    )
{% endmacro %}


{# Marks copies of one event and numbers the events of one nanosecond.

   Of equal events the first to land stays; the others are declared, not dropped. `tie_order` is
   the total order 0.5 within an instrument's nanosecond, so late rows shift nobody outside their
   own; `tie_break` are the terms after sequence and venue. #}
{% macro marked_copies(keyed, key, tie_break) %}
    select
        *,
        case when is_duplicate then dedup_rule end as duplicate_by,
        row_number() over (
            partition by instrument_id, event_ts_ns, is_duplicate
            order by
                coalesce(sequence, source_row) nulls last, venue nulls last,
                {% for term in tie_break %}{{ term }} nulls last, {% endfor %}
                recv_ts_ns nulls last, {{ key }}
        )::integer as tie_order
    from (
        select
            *,
            row_number() over (
                partition by {{ key }} order by recv_ts_ns nulls last, unit, position
            ) > 1 as is_duplicate
        from {{ keyed }}
    )
{% endmacro %}
