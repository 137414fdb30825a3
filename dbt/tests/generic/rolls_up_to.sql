{# The wider candles are what these candles roll up to: the first open, the highest high, the lowest
   low, the last close (each of the candles that have one) and the sums of the rest; none is missing
   and none is surplus. Looked at are the windows that hold a part that builds have replaced, of
   either table.

     wide     the relation of the wider candles
     seconds  their width, where they are aligned to the UTC epoch
     window   SQL over this model's columns that names the window_start of the wider candle,
              where `seconds` does not say it
     key      what besides window_start makes a candle
     sums     columns that add up
     parent, wide_parent  as for unique_where_touched #}
{% test rolls_up_to(
    model, wide, seconds=none, window=none, key=['instrument_id', 'venue'],
    sums=['volume', 'trade_count', 'notional', 'vwap_notional', 'vwap_quantity'],
    parent=none, wide_parent=none
) %}
    {% set window = window or window_of('window_start', seconds) %}
    {% set keys = columns_of(key) + ['wide_start'] %}
    {% set compared = ['open', 'high', 'low', 'close'] + sums %}
    {% set tables = [dirty_name(model, parent), dirty_name(wide, wide_parent)] %}
    with children as (
        select *, {{ window }} as wide_start from {{ model }}
    ),

    parents as (
        select *, window_start as wide_start from {{ wide }}
    ),

    windows as (
        select distinct instrument_id, wide_start from children where {{ in_touched_parts(tables, 'event_hour') }}
        union
        select distinct instrument_id, wide_start from parents where {{ in_touched_parts(tables, 'event_hour') }}
    ),

    rolled as (
        select
            {% for column in keys %}c.{{ column }}, {% endfor %}
            min_by(c.open, c.window_start) filter (where c.open is not null) as open,
            max(c.high) as high,
            min(c.low) as low,
            max_by(c.close, c.window_start) filter (where c.close is not null) as close
            {%- for column in sums %}, sum(c.{{ column }}) as {{ column }}{% endfor %}
        from children as c
        inner join windows as w on c.instrument_id = w.instrument_id and c.wide_start = w.wide_start
        group by all
    ),

    wider as (
        select p.*
        from parents as p
        inner join windows as w on p.instrument_id = w.instrument_id and p.wide_start = w.wide_start
    )

    select
        {%- for column in keys %} coalesce(a.{{ column }}, b.{{ column }}) as {{ column }},{% endfor %}
        {%- for column in compared %}
        a.{{ column }} as rolled_{{ column }}, b.{{ column }} as wider_{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from rolled as a
    full join wider as b on {{ same_key(keys) }}
    where {{ differs(compared) }}
{% endtest %}
