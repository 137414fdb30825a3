{# A decimal as text without exponent and trailing zeros: 1.10 and 1.1 are the same. #}
{% macro duckdb__canonical(column) -%}
    case when contains({{ column }}::varchar, '.')
        then rtrim(rtrim({{ column }}::varchar, '0'), '.') else {{ column }}::varchar end
{%- endmacro %}


{# md5 of the given expressions as one canonical string: absent is empty, parts are set apart by
   the unit separator. Ids are the same on every engine. #}
{% macro key_of(expressions) -%}
    md5(concat_ws(chr(31), {% for e in expressions %}coalesce(({{ e }})::varchar, ''){{ ", " if not loop.last }}{% endfor %}))
{%- endmacro %}


{# The key of a trade that has an identity of its own; equal for copies of one event. #}
{% macro trade_key(alias=none) -%}
    {%- set of = alias ~ '.' if alias else '' -%}
    {{ key_of([
        of ~ 'dedup_rule', of ~ 'source', of ~ 'venue', of ~ 'instrument_id', of ~ 'session_date',
        'case when ' ~ of ~ "dedup_rule = 'identity' then " ~ of ~ 'trade_id else cast('
        ~ of ~ 'sequence as varchar) end',
        of ~ 'status', of ~ 'version',
        'case when ' ~ of ~ "dedup_rule = 'position' then " ~ of ~ "unit || '/' || " ~ of ~ 'position end',
    ]) }}
{%- endmacro %}


{% macro duckdb__sha256_of(text) -%}
    sha256({{ text }})
{%- endmacro %}


{# Rows of rule `content`: without id or sequence, the k-th equal row of one delivery is an event of
   its own, and the k-th of another delivery is its copy. `parts` is what makes two rows equal. #}
{% macro counted_contents(landed, parts) %}
    {% set text -%}
        concat_ws(chr(31) {%- for part in parts %}, coalesce(({{ part }})::varchar, ''){% endfor %})
    {%- endset %}
    select
        *,
        row_number() over (partition by delivery_unit, fingerprint order by position) as occurrence
    from (
        select
            *,
            substr({{ sha256_of(text) }}, 1, 32) as fingerprint
        from {{ landed }}
        where dedup_rule = 'content'
    )
{% endmacro %}


{# Marks copies of one event and numbers the events of one nanosecond.

   Of equal events the first to land stays; the others are declared, not dropped. `tie_order` is
   the total order 0.5 within an instrument's nanosecond, so late rows shift nobody outside their
   own; `tie_break` are the terms after file row, venue and the venue's own sequence.

   Copies and ties are rare: both are looked for by key alone and joined back, which costs half of
   carrying every column through two sorts. `keyed` has to be inlined for that.

   A copy that says something else in `payload` is a conflict: the first stays, the other is shown.

   `place` are the columns that say where a row landed. Where rows of several datasets meet, dataset
   is one of them: one file may land under two. #}
{% macro marked_copies(keyed, key, tie_break, payload=[], place=['unit', 'position']) %}
    {% set places = [] %}
    {% for column in place %}{% do places.append('k.' ~ column) %}{% endfor %}
    with repeated as (
        select {{ key }} from {{ keyed }} group by {{ key }} having count(*) > 1
    ),

    ranked as (
        select
            {{ places | join(', ') }},
            row_number() over (
                partition by k.{{ key }} order by k.recv_ts_ns nulls last, k.unit, k.position
            ) as copy_number
            {%- for column in payload %},
            (k.{{ column }} is distinct from first_value(k.{{ column }}) over (
                partition by k.{{ key }} order by k.recv_ts_ns nulls last, k.unit, k.position
            )) as differs_{{ loop.index }}
            {%- endfor %}
        from {{ keyed }} as k
        inner join repeated as r on k.{{ key }} = r.{{ key }}
    ),

    copies as (
        select
            {{ place | join(', ') }},
            {% for column in payload %}differs_{{ loop.index }}{{ ' or ' if not loop.last }}{% else %}false{% endfor %}
                as is_conflict
        from ranked
        where copy_number > 1
    ),

    crowded as (
        select instrument_id, event_ts_ns
        from {{ keyed }}
        group by instrument_id, event_ts_ns
        having count(*) > 1
    ),

    ties as (
        select
            {{ places | join(', ') }},
            row_number() over (
                partition by k.instrument_id, k.event_ts_ns, c.position is not null
                order by
                    k.source_row nulls last, k.venue nulls last, k.sequence nulls last,
                    {% for term in tie_break %}{{ term }} nulls last, {% endfor %}
                    k.recv_ts_ns nulls last, k.{{ key }}
            )::integer as tie_order
        from {{ keyed }} as k
        inner join crowded as t
            on k.instrument_id = t.instrument_id and k.event_ts_ns = t.event_ts_ns
        left join copies as c on {{ using_columns(place, 'k.{0} = c.{0}', ' and ') }}
    )

    select
        k.*,
        c.position is not null as is_duplicate,
        case when c.position is not null then k.dedup_rule end as duplicate_by,
        coalesce(c.is_conflict, false) as is_conflict,
        coalesce(t.tie_order, 1) as tie_order
    from {{ keyed }} as k
    left join copies as c on {{ using_columns(place, 'k.{0} = c.{0}', ' and ') }}
    left join ties as t on {{ using_columns(place, 'k.{0} = t.{0}', ' and ') }}
{% endmacro %}
