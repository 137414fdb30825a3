{#
    Late arrivals (analytics.md 6). What landed is read again in the order in which it landed:
    commit, unit, position. A unit's newest event holds the watermark of its stream back, and the
    stream's watermark is that of the slowest unit that is not idle.

    Where one unit follows another within a commit they landed together: a unit that begins in a
    commit holds the watermark until its first rows are counted.
#}

{# Units that one watermark is kept over: the partitions of a topic; a file stands by itself. #}
{% macro stream_of(unit) -%}
    case when {{ unit }} like 'kafka:%' then regexp_replace({{ unit }}, '/[0-9]+$', '') else {{ unit }} end
{%- endmacro %}


{# Has this model to read all that ever landed? A ranged build recomputes hours without news. #}
{% macro reads_all_landed() %}
    {% if is_whole() %}
        {% do return(true) %}
    {% endif %}
    {% do return(run_query("select count(*) from build.info where range_from is not null").columns[0].values()[0] > 0) %}
{% endmacro %}


{# Every landed record that becomes a trade, with `columns` besides where it stands. #}
{% macro landed_trades(columns, orders_columns=none) %}
    {% set everything = reads_all_landed() %}
    select 'trades' as dataset, batch, unit, position, event_ts_ns, recv_ts_ns {%- for c in columns %}, {{ c }}{% endfor %}
    from {{ landed_rows('trades', everything) }}
    where verdict = 'ok'
    union all
    select 'orders' as dataset, batch, unit, position, event_ts_ns, recv_ts_ns {%- for c in orders_columns or columns %}, {{ c }}{% endfor %}
    from {{ landed_rows('orders', everything) }}
    where verdict = 'ok' and msg_type = 'T'
{% endmacro %}


{# One row per commit and unit of trades: its newest event, when it arrived. A replayed row arrives
   when it is replayed, as one of the unit that it first came in. #}
{% macro landed_segments(commits) %}
    select
        c.dataset,
        c.landed_hour,
        c.version,
        c.batch,
        c.unit as landed_unit,
        {{ own_unit('c.unit') }} as unit,
        {{ stream_of(own_unit('c.unit')) }} as stream,
        case when {{ is_replay('c.unit') }} then {{ ns_of('c.committed_at') }} else coalesce(r.first_recv_ns, {{ ns_of('c.committed_at') }}) end as first_arrival_ns,
        case when {{ is_replay('c.unit') }} then {{ ns_of('c.committed_at') }} else coalesce(r.last_recv_ns, {{ ns_of('c.committed_at') }}) end as last_arrival_ns,
        r.max_event_ts_ns
    from {{ commits }} as c
    inner join (
        select
            dataset, batch, unit,
            min(recv_ts_ns) as first_recv_ns,
            max(recv_ts_ns) as last_recv_ns,
            max(event_ts_ns) as max_event_ts_ns
        from ({{ landed_trades([]) }}) as landed
        group by dataset, batch, unit
    ) as r on c.dataset = r.dataset and c.batch = r.batch and c.unit = r.unit
{% endmacro %}


{# How far the units of the streams of `segments` had come in landed hours without segments. #}
{% macro units_before(segments) %}
    select u.*
    from {{ ref('late_trades_units') }} as u
    where
        not exists (select 1 from {{ segments }} as s where s.landed_hour = u.landed_hour)
        and exists (select 1 from {{ segments }} as s where s.stream = u.stream)
{% endmacro %}


{# Every segment with the state of its stream before it: `own_before_ns`, the newest event of its
   unit, and `others_ns`, the least of the other units that are not idle (null: there is none).
   `carry` says how far units had come by the end of landed hours that are not among `segments`. #}
{% macro segments_with_state(segments, carry) %}
    select
        g.dataset, g.stream, g.landed_hour, g.version, g.unit,
        max(g.before_ns) filter (where g.other = g.unit) as own_before_ns,
        min(
            case
                when g.before_ns is null and g.lands_now then cast(-9000000000000000000 as bigint)
                when g.first_arrival_ns - g.before_arrival_ns <= {{ var('idle_seconds') * 1000000000 }} then g.before_ns
            end
        ) filter (where g.other <> g.unit) as others_ns
    from (
        select
            p.*,
            max(p.event_ns) over (
                partition by p.dataset, p.stream, p.other
                order by p.landed_hour, p.version, p.unit
                rows between unbounded preceding and 1 preceding
            ) as before_ns,
            max(p.arrival_ns) over (
                partition by p.dataset, p.stream, p.other
                order by p.landed_hour, p.version, p.unit
                rows between unbounded preceding and 1 preceding
            ) as before_arrival_ns,
            max(p.event_ns) over (partition by p.dataset, p.stream, p.other, p.landed_hour, p.version) is not null as lands_now
        from (
            select
                s.dataset, s.stream, s.landed_hour, s.version, s.unit, s.first_arrival_ns, u.unit as other,
                case when u.unit = s.unit then s.max_event_ts_ns end as event_ns,
                case when u.unit = s.unit then s.last_arrival_ns end as arrival_ns
            from {{ segments }} as s
            inner join (
                select distinct dataset, stream, unit from {{ segments }}
                union
                select distinct dataset, stream, unit from {{ carry }}
            ) as u on s.dataset = u.dataset and s.stream = u.stream
            union all
            select
                c.dataset, c.stream, c.landed_hour, -1, c.unit, null, c.unit,
                c.max_event_ts_ns, c.last_arrival_ns
            from {{ carry }} as c
        ) as p
    ) as g
    where g.version >= 0
    group by g.dataset, g.stream, g.landed_hour, g.version, g.unit
{% endmacro %}


{# `states` (segments with their state) with `newest_ns`, what the slowest unit had reached after
   the segment: the stream's watermark before any lateness is taken off. #}
{% macro reached_after(max_event, own_before, others) -%}
    least(greatest({{ max_event }}, coalesce({{ own_before }}, {{ max_event }})), coalesce({{ others }}, greatest({{ max_event }}, coalesce({{ own_before }}, {{ max_event }}))))
{%- endmacro %}


{# Before anything was seen: earlier than every event that the contracts take. #}
{% macro no_watermark() -%}
    cast(-9000000000000000000 as bigint)
{%- endmacro %}


{# Is an event late for its window: had the watermark, `seen` less the lateness that the width
   allows, reached the window's end? #}
{% macro is_late(event, seen, width, seconds) -%}
    ({{ window_end_ns(event, seconds) }} <= {{ seen }} - {{ var('lateness_ms')[width] * 1000000 }})
{%- endmacro %}


{# The end of the window of `seconds` that holds an event, ns since epoch UTC. #}
{% macro window_end_ns(event, seconds) -%}
    ({{ event }} // {{ seconds * 1000000000 }} + 1) * {{ seconds * 1000000000 }}
{%- endmacro %}


{# The same for the day: its window ends with the session date in the instrument's calendar. #}
{% macro is_late_for_session(instrument_id, event, seen) -%}
    ({{ ns_of(session_end(session_date(window_start(event, 3600), calendar_of(instrument_id)), calendar_of(instrument_id))) }}
        <= {{ seen }} - {{ var('lateness_ms')['1d'] * 1000000 }})
{%- endmacro %}
