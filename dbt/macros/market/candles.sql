{# Candles of one second from trades (analytics.md 2), for each venue and for all together.

   Prices are those of prints that may set one, volume, count and notional those of prints that may
   add to it. Open and close follow the total order 0.5. Within a second that order fits one integer
   (ns of the second, then the tie order), which is compared many times faster than a tuple. A
   second lies in one type of session, as all sessions begin and end on full minutes. #}
{% macro candles_from_trades(trades, seconds=1) %}
    select
        instrument_id,
        scope as venue,
        {{ window_start('event_ts_ns', seconds) }} as window_start,
        event_hour,
        session_date,
        session_type,
        min_by(price, tie) filter (where is_price_eligible) as open,
        max(price) filter (where is_price_eligible) as high,
        min(price) filter (where is_price_eligible) as low,
        max_by(price, tie) filter (where is_price_eligible) as close,
        cast(coalesce(sum(quantity) filter (where is_volume_eligible), 0) as decimal(38, 8)) as volume,
        count(*) filter (where is_volume_eligible) as trade_count,
        cast(sum(notional) filter (where is_volume_eligible) as decimal(38, 12)) as notional,
        cast(sum(price_quantity) filter (where is_price_eligible) as decimal(38, 12)) as vwap_notional,
        cast(sum(quantity) filter (where is_price_eligible) as decimal(38, 8)) as vwap_quantity,
        cast(
            coalesce(sum(quantity) filter (where side = 'B' and is_volume_eligible), 0) as decimal(38, 8)
        ) as buy_volume,
        cast(
            coalesce(sum(quantity) filter (where side = 'S' and is_volume_eligible), 0) as decimal(38, 8)
        ) as sell_volume,
        min(event_ts_ns) as first_ts_ns,
        max(event_ts_ns) as last_ts_ns
    from (
        select t.*, 'ALL' as scope, (event_ts_ns % 1000000000) * 1048576 + tie_order as tie
        from {{ trades }} as t
        union all
        select t.*, venue, (event_ts_ns % 1000000000) * 1048576 + tie_order
        from {{ trades }} as t
        where venue is not null
    )
    group by all
{% endmacro %}


{# Candles of a wider window from narrower ones. The same as from trades: first open, last close,
   sums of sums; the average price is divided anew, never averaged. `keys` are further columns that
   both widths have. #}
{% macro candles_rolled_up(children, window, hour, keys) %}
    select
        instrument_id,
        venue,
        {{ window }} as window_start,
        {{ hour }} as event_hour,
        {{ keys | join(', ') }},
        min_by(open, window_start) filter (where open is not null) as open,
        max(high) as high,
        min(low) as low,
        max_by(close, window_start) filter (where close is not null) as close,
        cast(sum(volume) as decimal(38, 8)) as volume,
        cast(sum(trade_count) as bigint) as trade_count,
        cast(sum(notional) as decimal(38, 12)) as notional,
        cast(sum(vwap_notional) as decimal(38, 12)) as vwap_notional,
        cast(sum(vwap_quantity) as decimal(38, 8)) as vwap_quantity,
        cast(sum(buy_volume) as decimal(38, 8)) as buy_volume,
        cast(sum(sell_volume) as decimal(38, 8)) as sell_volume,
        min(first_ts_ns) as first_ts_ns,
        max(last_ts_ns) as last_ts_ns,
        cast(sum(revision) as bigint) as revision
    from {{ children }}
    group by instrument_id, venue, {{ window }}, {{ hour }}, {{ keys | join(', ') }}
{% endmacro %}


{# Each window of `windows` in scope `all`, and once more in scope `regular` where it lies in the
   regular session. #}
{% macro in_session_scopes(windows) %}
    select w.*, scopes.session_scope
    from {{ windows }} as w
    cross join (values ('all'), ('regular')) as scopes (session_scope)
    where scopes.session_scope = 'all' or w.session_type = 'regular'
{% endmacro %}


{# The columns of a candle, in the order people read them; `more` are those of one width alone. #}
{% macro candle_columns(candles, more=[]) %}
    select
        instrument_id,
        venue,
        session_scope,
        window_start,
        event_hour,
        session_date,
        {% for column in more %}{{ column }}, {% endfor %}
        open,
        high,
        low,
        close,
        volume,
        trade_count,
        notional,
        {{ ratio('vwap_notional', 'vwap_quantity') }} as vwap,
        vwap_notional,
        vwap_quantity,
        buy_volume,
        sell_volume,
        first_ts_ns,
        last_ts_ns,
        revision,
        true as is_final,
        'batch' as source
    from {{ candles }}
{% endmacro %}
