{# Candles of one width from trades (analytics.md 2), for each venue and for all together.

   Open and close follow the total order 0.5. Within a second that order fits one integer
   (ns of the second, then the tie order), which is compared many times faster than a tuple. #}
{% macro candles_from_trades(trades, seconds=1) %}
    select
        instrument_id,
        venue,
        {{ window_start('event_ts_ns', seconds) }} as window_start,
        event_hour,
        min_by(price, tie) as open,
        max(price) as high,
        min(price) as low,
        max_by(price, tie) as close,
        sum(quantity)::decimal(38, 8) as volume,
        count(*) as trade_count,
        sum(notional)::decimal(38, 12) as notional,
        sum(price_quantity)::decimal(38, 12) as vwap_notional,
        sum(quantity)::decimal(38, 8) as vwap_quantity,
        coalesce(sum(quantity) filter (where side = 'B'), 0)::decimal(38, 8) as buy_volume,
        coalesce(sum(quantity) filter (where side = 'S'), 0)::decimal(38, 8) as sell_volume,
        min(event_ts_ns) as first_ts_ns,
        max(event_ts_ns) as last_ts_ns
    from (
        select * replace ('ALL' as venue), (event_ts_ns % 1000000000) * 1048576 + tie_order as tie
        from {{ trades }}
        union all
        select *, (event_ts_ns % 1000000000) * 1048576 + tie_order as tie
        from {{ trades }}
        where venue is not null
    )
    group by all
{% endmacro %}


{# Candles of a wider window from narrower ones. The same as from trades: first open, last close,
   sums of sums; the average price is divided anew, never averaged. #}
{% macro candles_rolled_up(children, window, hour) %}
    select
        instrument_id,
        venue,
        {{ window }} as window_start,
        {{ hour }} as event_hour,
        min_by(open, window_start) as open,
        max(high) as high,
        min(low) as low,
        max_by(close, window_start) as close,
        sum(volume)::decimal(38, 8) as volume,
        sum(trade_count)::bigint as trade_count,
        sum(notional)::decimal(38, 12) as notional,
        sum(vwap_notional)::decimal(38, 12) as vwap_notional,
        sum(vwap_quantity)::decimal(38, 8) as vwap_quantity,
        sum(buy_volume)::decimal(38, 8) as buy_volume,
        sum(sell_volume)::decimal(38, 8) as sell_volume,
        min(first_ts_ns) as first_ts_ns,
        max(last_ts_ns) as last_ts_ns
    from {{ children }}
    group by 1, 2, 3, 4
{% endmacro %}


{# The volume-weighted average price: one division, at the end. #}
{% macro with_vwap(candles) %}
    select *, vwap_notional / nullif(vwap_quantity, 0) as vwap from {{ candles }}
{% endmacro %}
