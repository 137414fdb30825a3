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
            coalesce(market_segment, '') as segment,
            coalesce(abs(position_value), 0) as gross,
            coalesce(position_value, 0) as net,
            case when quantity <> 0 then 1 else 0 end as open_positions
        from {{ states }}
    ),

    followed as (
        select
            * replace (coalesce(unrealized_pnl, 0) as unrealized_pnl, coalesce(total_pnl, 0) as total_pnl),
            lag(session_id) over before as session_before,
            lag(segment) over before as segment_before,
            {% for column in risk_measures() %}
                coalesce(lag({{ column }}) over before, 0) as {{ column }}_before{{ ',' if not loop.last }}
            {% endfor %}
        from measured
        window before as (partition by trader_id, instrument_id order by event_ts_ns, tie_order)
    )

    select
        trader_id, instrument_id, segment, event_ts_ns, tie_order, event_hour, trade_key, is_carried,
        {% for column in risk_measures() %}
            {{ column }} - case
                when segment_before = segment then {{ column }}_before else 0
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
    where segment_before <> segment
{% endmacro %}


{# The sums of all changes so far: what is added up, over the latest states. #}
{% macro risk_sums(keys, at) -%}
    {% for column in risk_measures() -%}
        cast(
            sum({{ column }}_change) over (partition by {{ keys }} order by {{ at }})
            as {{ 'bigint' if column == 'open_positions' else 'decimal(38, 12)' }}
        ) as {{ column }}{{ ', ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Changes by minute, summed by trader, by instrument, by segment and in all. #}
{% macro risk_levels(minutes) %}
    {% for level, key in [
        ('trader', 'trader_id'), ('instrument', 'instrument_id'), ('segment', 'market_segment'), ('total', "''"),
    ] %}
        select
            '{{ level }}' as level,
            {{ key }} as level_key,
            window_start,
            event_hour,
            {{ using_columns(risk_measures(), 'sum({0}_change) as {0}_change') }}
        from {{ minutes }}
        group by 1, 2, 3, 4
        {{ 'union all' if not loop.last }}
    {% endfor %}
{% endmacro %}


{# What is held against limits: (trader_id, held: instrument or '', limit_name, value, moment), of
   keys that came near their limit, or stand beyond it in `carried`. The others, nearly all, are left
   out before anything is sorted. #}
{% macro limit_values(pnl, trader_pnl, carried) %}
    {% for limit_name, held, value, tie_order, relation in [
        ('position_notional', 'instrument_id', 'abs(position_value)', 'tie_order', pnl),
        ('gross_exposure', "''", 'gross', '0', trader_pnl),
        ('daily_pnl', "''", 'daily_pnl', '0', trader_pnl),
    ] %}
        {% set limit = var('risk_limits')[limit_name] %}
        select
            p.trader_id,
            c.held,
            c.limit_name,
            {{ value }} as value,
            event_ts_ns,
            {{ tie_order }} as tie_order,
            event_hour,
            trade_key
        from {{ relation }} as p
        inner join (
            select trader_id, {{ held }} as held, '{{ limit_name }}' as limit_name
            from {{ relation }} as n
            where {{ is_beyond(value, limit.warn) }}
            union
            select trader_id, held, limit_name
            from {{ carried }}
            where limit_name = '{{ limit_name }}' and state_to <> 'OK'
        ) as c on p.trader_id = c.trader_id and {{ 'p.' ~ held if held != "''" else held }} = c.held
        where {{ value }} is not null
        {{ 'union all' if not loop.last }}
    {% endfor %}
{% endmacro %}


{# A value says that its limit is broken, that it is not, or nothing: a state that was entered is
   left only at risk_hysteresis within its limit. The state that stands before comes first. #}
{% macro limit_signals(measured, carried) %}
    select
        trader_id,
        held,
        limit_name,
        value,
        event_ts_ns,
        tie_order,
        event_hour,
        trade_key,
        false as is_carried,
        {% for state in ['warn', 'breach'] %}
            case
                {% for name, limit in var('risk_limits').items() %}
                    when limit_name = '{{ name }}' and {{ is_beyond('value', limit[state]) }} then true
                    when limit_name = '{{ name }}' and not {{ is_beyond('value', left_at(limit[state])) }} then false
                {% endfor %}
            end as is_{{ state }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ measured }}
    union all
    select
        trader_id, held, limit_name, null, event_ts_ns, tie_order, null, null,
        true as is_carried,
        state_to <> 'OK' as is_warn,
        state_to = 'BREACH' as is_breach
    from {{ carried }}
{% endmacro %}


{# Where a limit is negative, less is worse. #}
{% macro is_beyond(value, limit) -%}
    ({{ value }} {{ '<' if '-' in (limit | string).split('*')[0] else '>' }} {{ limit }})
{%- endmacro %}


{% macro left_at(limit) %}
    {% do return("cast(" ~ limit ~ " * (1 - " ~ var('risk_hysteresis') ~ ") as decimal(20, 4))") %}
{% endmacro %}


{# The limit of the worse of two states. #}
{% macro limit_between(state_from, state_to) -%}
    case limit_name
        {% for name, limit in var('risk_limits').items() %}
            when '{{ name }}' then case
                when 'BREACH' in ({{ state_from }}, {{ state_to }}) then cast({{ limit.breach }} as decimal(20, 4))
                else cast({{ limit.warn }} as decimal(20, 4))
            end
        {% endfor %}
    end
{%- endmacro %}


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
