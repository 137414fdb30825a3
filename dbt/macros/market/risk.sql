{# Positions, marks and limits (analytics.md 14). #}

{# The last row of each key by (event_ts_ns, tie_order). Looked for by time alone, then by tie among
   the few: sorting all of history for it would cost more than the rest of the build. #}
{% macro latest_per(relation, keys) %}
    select t.*
    from {{ relation }} as t
    inner join (
        select {{ keys | join(', ') }}, max(event_ts_ns) as last_ns from {{ relation }} group by all
    ) as l on {{ using_columns(keys, 't.{0} = l.{0}', ' and ') }} and t.event_ts_ns = l.last_ns
    qualify row_number() over (
        partition by {{ using_columns(keys, 't.{0}') }} order by t.tie_order desc
    ) = 1
{% endmacro %}


{# No rows, with the columns that average_cost and gold.positions take over. #}
{% macro no_position() %}
    select
        cast(null as varchar) as trader_id,
        cast(null as varchar) as instrument_id,
        cast(null as varchar) as session_id,
        cast(null as decimal(28, 8)) as quantity_after,
        cast(null as decimal(38, 12)) as cost,
        cast(null as decimal(38, 12)) as average_cost,
        cast(null as decimal(38, 12)) as cash,
        cast(null as decimal(38, 12)) as fees_so_far
    where false
{% endmacro %}


{# quantity x price x multiplier with the quantity's sign, rounded once to 12 decimals; null where
   it is beyond 10^16, as a notional is. #}
{% macro position_value(quantity, price, multiplier) -%}
    case
        when abs(cast({{ price }} as double) * cast({{ quantity }} as double)) < 1e16
            and abs(
                cast({{ price }} as double) * cast({{ quantity }} as double) * cast({{ multiplier }} as double)
            ) < 1e16
            then cast(
                cast(cast({{ price }} as decimal(38, 10)) * {{ quantity }} as decimal(38, 12))
                * {{ multiplier }} as decimal(38, 12)
            )
    end
{%- endmacro %}


{# Points with columns of the latest state of their instrument (and `keys`) at or before them.
     points   has instrument_id, event_ts_ns
     states   has instrument_id, `since`, and at most one row per key and moment
     columns  of the states to hand on; null where no state is
   The as-of join is DuckDB's; elsewhere it is a window over both. #}
{% macro as_of(points, states, since, columns, keys=['instrument_id'], at='event_ts_ns', op='>=') %}
    {{ return(adapter.dispatch('as_of', 'ticklake')(points, states, since, columns, keys, at, op)) }}
{% endmacro %}


{% macro default__as_of(points, states, since, columns, keys, at, op) %}
    select p.*, {{ using_columns(columns, 's.{0}') }}
    from {{ points }} as p
    asof left join {{ states }} as s
        on {{ using_columns(keys, 'p.{0} = s.{0}', ' and ') }} and p.{{ at }} {{ op }} s.{{ since }}
{% endmacro %}


{# One row per point (instrument_id, event_ts_ns, session_start) with what its instrument is worth:
     quote_mid       mid of the best quote in force then, two-sided
     trade_price     the last trade's price, if it is less than five minutes old
     previous_close  the official close of the last session before that has one, at most 10 days back
   `quotes` are best quotes, `trades` silver trades, `closes` official closes, all of them CTEs. #}
{% macro marks_at(points, quotes, trades, closes) %}
    with points as not materialized (
        select distinct instrument_id, event_ts_ns, session_start from {{ points }}
    ),

    states as (
        select
            instrument_id,
            valid_from_ns,
            valid_to_ns,
            cast((best_bid + best_offer) * cast(0.5 as decimal(2, 1)) as decimal(28, 10)) as mid
        from {{ quotes }}
        where is_two_sided and instrument_id in (select instrument_id from points)
    ),

    prints as (
        select instrument_id, event_ts_ns as printed_ns, max_by(price, tie_order) as print_price
        from {{ trades }}
        where is_price_eligible and not is_outlier and instrument_id in (select instrument_id from points)
        group by instrument_id, event_ts_ns
    ),

    previous as (
        select instrument_id, event_hour as closed_session, official_close from {{ closes }}
    ),

    quoted as ({{ as_of('points', 'states', 'valid_from_ns', ['mid', 'valid_to_ns']) }}),

    traded as ({{ as_of('quoted', 'prints', 'printed_ns', ['print_price', 'printed_ns']) }}),

    closed as ({{ as_of('traded', 'previous', 'closed_session', ['official_close', 'closed_session'], at='session_start', op='>') }})

    select
        instrument_id,
        event_ts_ns,
        case when event_ts_ns < valid_to_ns then mid end as quote_mid,
        case
            when event_ts_ns - printed_ns < 300000000000 then cast(print_price as decimal(28, 10))
        end as trade_price,
        case
            when session_start <= closed_session + interval 10 day
                then cast(official_close as decimal(28, 10))
        end as previous_close
    from closed
{% endmacro %}


{# Which of the marks `m` counts; where none is there, the price of the trader's own last fill. #}
{% macro mark(last_fill) -%}
    coalesce(m.quote_mid, m.trade_price, m.previous_close, cast({{ last_fill }} as decimal(28, 10)))
{%- endmacro %}


{% macro mark_source() -%}
    case
        when m.quote_mid is not null then 'best_quote'
        when m.trade_price is not null then 'last_trade'
        when m.previous_close is not null then 'previous_close'
        else 'last_fill'
    end
{%- endmacro %}


{# The moments at which positions are valued: every fill, and of every hour in which the instrument
   is quoted or traded the last nanosecond of each risk_mark_minutes, for every trader who has held
   it. `moves` are positions after fills, `states` comes from positions_since. #}
{% macro risk_points(moves, states, quotes, trades) %}
    with holders as (
        select trader_id, instrument_id, min(since_ns) as first_ns
        from {{ states }}
        group by all
    ),

    hours as (
        select distinct instrument_id, event_hour
        from (
            select instrument_id, event_hour from {{ quotes }}
            union all
            select instrument_id, event_hour from {{ trades }}
        )
        where instrument_id in (select instrument_id from holders)
    ),

    points as (
        select trader_id, instrument_id, 'fill' as point, trade_key, event_ts_ns, tie_order, event_hour
        from {{ moves }}
        union all
        select
            o.trader_id,
            o.instrument_id,
            'mark' as point,
            cast(null as varchar) as trade_key,
            h.event_ts_ns,
            2147483647 as tie_order,
            h.event_hour
        from holders as o
        inner join (
            select
                instrument_id,
                event_hour,
                {{ ns_of('event_hour') }} + minute_end * 60000000000 - 1 as event_ts_ns
            from hours
            cross join {{ numbers_to(60, var('risk_mark_minutes')) }} as minutes (minute_end)
        ) as h on o.instrument_id = h.instrument_id and h.event_ts_ns >= o.first_ns
    )

    select p.*, s.session_start
    from points as p
    inner join (
        select
            instrument_id,
            event_hour,
            {{ session_start(session_date('event_hour')) }} as session_start
        from (select distinct instrument_id, event_hour, {{ calendar_of() }} as calendar from points)
    ) as s on p.instrument_id = s.instrument_id and p.event_hour = s.event_hour
{% endmacro %}


{# Points with the position held there: a fill's own (`moves`), at a mark the last one before
   (`endings`, from positions_since); flat positions have no marks. #}
{% macro held_at(points, moves, endings) %}
    with marks as (
        select trader_id, instrument_id, point, trade_key, event_ts_ns, tie_order, event_hour
        from {{ points }}
        where point = 'mark'
    )

    select * from (
        {{ as_of('marks', endings, 'since_ns', position_columns(), ['trader_id', 'instrument_id']) }}
    )
    where quantity <> 0
    union all
    select
        p.trader_id,
        p.instrument_id,
        p.point,
        p.trade_key,
        p.event_ts_ns,
        p.tie_order,
        p.event_hour,
        {% for column in position_columns() %}
            s.{{ 'quantity_after' if column == 'quantity' else column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ points }} as p
    inner join {{ moves }} as s on p.trade_key = s.trade_key
{% endmacro %}


{# What each position was since when, one row per position and moment: its state after the last
   fill of that nanosecond. `moves` are rows of gold.positions, `earlier` those before them. #}
{% macro positions_since(moves, earlier) %}
    select
        * exclude (event_ts_ns, quantity_after),
        event_ts_ns as since_ns,
        quantity_after as quantity
    from (
        select * from {{ moves }}
        union all
        {{ latest_per(earlier, ['trader_id', 'instrument_id']) }}
    )
    qualify row_number() over (partition by trader_id, instrument_id, event_ts_ns order by tie_order desc) = 1
{% endmacro %}


{% macro position_columns() %}
    {% do return([
        'session_id', 'market_segment', 'quantity', 'average_cost', 'cost', 'cash', 'realized_pnl',
        'price', 'price_multiplier',
    ]) %}
{% endmacro %}


{# A relation of the multiples of `step` up to `last`. #}
{% macro numbers_to(last, step) -%}
    (select unnest(generate_series({{ step }}, {{ last }}, {{ step }})))
{%- endmacro %}


{# What is added up over positions. #}
{% macro risk_measures() %}
    {% do return(['gross', 'net', 'realized_pnl', 'unrealized_pnl', 'total_pnl', 'open_positions']) %}
{% endmacro %}


{# By how much each state of a position (rows of gold.pnl) changed what is added up: the sum of all
   changes so far is the sum over the latest states. `profit` is the change of the total within one
   session. A position that moves to another segment leaves the one and enters the other. #}
{% macro risk_changes(states) %}
    with measured as (
        select
            *,
            coalesce(abs(position_value), 0) as gross,
            coalesce(position_value, 0) as net,
            case when quantity <> 0 then 1 else 0 end as open_positions
        from {{ states }}
    ),

    followed as (
        select
            * replace (coalesce(unrealized_pnl, 0) as unrealized_pnl, coalesce(total_pnl, 0) as total_pnl),
            lag(session_id) over before as session_before,
            lag(market_segment) over before as segment_before,
            lag(true) over before is not null as is_later,
            {% for column in risk_measures() %}
                coalesce(lag({{ column }}) over before, 0) as {{ column }}_before{{ ',' if not loop.last }}
            {% endfor %}
        from measured
        window before as (partition by trader_id, instrument_id order by event_ts_ns, tie_order)
    )

    select
        trader_id, instrument_id, market_segment, event_ts_ns, tie_order, event_hour, trade_key, is_carried,
        {% for column in risk_measures() %}
            {{ column }} - case
                when segment_before is not distinct from market_segment then {{ column }}_before else 0
            end as {{ column }}_change,
        {% endfor %}
        total_pnl - case when session_before = session_id then total_pnl_before else 0 end as profit
    from followed
    union all
    select
        trader_id, instrument_id, segment_before, event_ts_ns, tie_order, event_hour, null, is_carried,
        {% for column in risk_measures() %}
            -{{ column }}_before,
        {% endfor %}
        0 as profit
    from followed
    where is_later and segment_before is distinct from market_segment
{% endmacro %}


{# What is held against limits: (trader_id, held: instrument or '', limit_name, value, moment). #}
{% macro limit_values(pnl, trader_pnl) %}
    select
        trader_id, instrument_id as held, 'position_notional' as limit_name,
        abs(position_value) as value, event_ts_ns, tie_order, event_hour, trade_key
    from {{ pnl }} as p
    where position_value is not null
    {% for limit_name, column in [('gross_exposure', 'gross'), ('daily_pnl', 'daily_pnl')] %}
        union all
        select
            trader_id, '' as held, '{{ limit_name }}' as limit_name,
            {{ column }} as value, event_ts_ns, 0 as tie_order, event_hour, trade_key
        from {{ trader_pnl }} as p
    {% endfor %}
{% endmacro %}


{# A value says that its limit is broken, that it is not, or nothing: a state that was entered is
   left only at risk_hysteresis within its limit. The state that stands before comes first. Keys
   that never come near a limit are left out before anything is sorted. #}
{% macro limit_signals(measured, carried) %}
    with bounded as (
        select m.*, l.warn_limit, l.breach_limit, l.warn_left, l.breach_left, l.direction
        from {{ measured }} as m
        inner join ({{ risk_limits() }}) as l on m.limit_name = l.limit_name
    ),

    concerned as (
        select trader_id, held, limit_name
        from bounded
        where value * direction > warn_limit * direction
        union
        select trader_id, held, limit_name from {{ carried }} where state_to <> 'OK'
    )

    select
        b.trader_id,
        b.held,
        b.limit_name,
        b.value,
        b.warn_limit,
        b.breach_limit,
        b.event_ts_ns,
        b.tie_order,
        b.event_hour,
        b.trade_key,
        false as is_carried,
        {% for state in ['warn', 'breach'] %}
            case
                when b.value * b.direction > b.{{ state }}_limit * b.direction then true
                when b.value * b.direction <= b.{{ state }}_left * b.direction then false
            end as is_{{ state }}{{ ',' if not loop.last }}
        {% endfor %}
    from bounded as b
    inner join concerned as c
        on b.trader_id = c.trader_id and b.held = c.held and b.limit_name = c.limit_name
    union all
    select
        trader_id, held, limit_name, null, null, null, event_ts_ns, tie_order, null, null,
        true as is_carried,
        state_to <> 'OK' as is_warn,
        state_to = 'BREACH' as is_breach
    from {{ carried }}
{% endmacro %}


{# Variable risk_limits as rows. Where the limit is negative, less is worse. #}
{% macro risk_limits() %}
    {% for name, limit in var('risk_limits').items() %}
        select
            '{{ name }}' as limit_name,
            {{ 1 if limit.breach > 0 else -1 }} as direction,
            {% for state in ['warn', 'breach'] %}
                cast({{ limit[state] }} as decimal(20, 4)) as {{ state }}_limit,
                cast({{ limit[state] }} * (1 - {{ var('risk_hysteresis') }}) as decimal(20, 4)) as {{ state }}_left
                {{- ',' if not loop.last }}
            {% endfor %}
        {{ 'union all' if not loop.last }}
    {% endfor %}
{% endmacro %}


{# No rows, with the columns of a limit's state before. #}
{% macro no_limit_state() %}
    select
        cast(null as varchar) as trader_id,
        cast(null as varchar) as held,
        cast(null as varchar) as limit_name,
        cast(null as varchar) as state_to,
        cast(null as bigint) as event_ts_ns,
        cast(null as integer) as tie_order
    where false
{% endmacro %}
