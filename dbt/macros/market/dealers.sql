{#
    What each dealer showed, and when (analytics.md 12).
#}

{# The states of each dealer's own quote: from `from_ns` on it shows `bid_price` until `bid_until_ns`
   and `offer_price` until `offer_until_ns` (equal to from_ns: that side is not live); both sides
   stand until `both_until_ns`, at least one until `either_until_ns`. A row per moment at which a
   side begins; several updates of one nanosecond are one. Of a dealer who quotes at several venues
   the latest price counts, and a side stands as long as one of them does. One pass over the intervals of firm
   quotes, hour by hour or session by session (`span`). #}
{% macro dealer_states(intervals, span='event_hour') -%}
    {%- set in_order = 'partition by instrument_id, dealer_id, ' ~ span
        ~ " order by from_ns, case when side = 'BID' then 0 else 1 end, price, size" %}
    select
        *,
        least(bid_until_ns, offer_until_ns) as both_until_ns,
        greatest(bid_until_ns, offer_until_ns) as either_until_ns,
        quote_ts_ns = from_ns as is_update,
        since_ns = from_ns as is_price_change,
        case
            when least(bid_until_ns, offer_until_ns) > from_ns and offer_price > bid_price
                then offer_price - bid_price
        end as spread
    from (
        select
            *,
            {% for side in ['bid', 'offer'] -%}
                case
                    when {{ side }}_to_ns > from_ns
                        then least({{ side }}_to_ns, coalesce(next_ns, {{ side }}_to_ns))
                    else from_ns
                end as {{ side }}_until_ns{{ ',' if not loop.last }}
            {% endfor -%}
        from (
            select
                instrument_id,
                dealer_id,
                event_hour,
                {{ 'source, session_date,' if span == 'session_date' }}
                from_ns,
                lead(from_ns) over ordered as next_ns,
                max(quote_ts_ns) over so_far as quote_ts_ns,
                max(since_ns) over so_far as since_ns,
                {% for side in ['bid', 'offer'] -%}
                    {{ last_known("case when side = '" ~ side | upper ~ "' then price end") }} over so_far
                        as {{ side }}_price,
                    {{ last_known("case when side = '" ~ side | upper ~ "' then size end") }} over so_far
                        as {{ side }}_size,
                    max(case when side = '{{ side | upper }}' then to_ns end) over so_far
                        as {{ side }}_to_ns{{ ',' if not loop.last }}
                {% endfor -%}
            from {{ intervals }}
            where quote_type = 'F' and is_valid
            window
                ordered as ({{ in_order }}),
                so_far as ({{ in_order }} rows between unbounded preceding and current row)
        )
        where next_ns is null or next_ns > from_ns
    )
{%- endmacro %}


{# The start, in ns, of the quarter of an hour that a moment lies in. Sessions begin and end on full
   quarters. #}
{% macro quarter_of(ns) -%}
    {{ step_of(ns, 900000000000) }} * 900000000000
{%- endmacro %}


{# Sums of a dealer's wider window from narrower ones, in their types; `over` makes them a window
   function's, `add_up=false` hands them on. #}
{% macro dealer_sums(over='', add_up=true) -%}
    {%- set types = {
        'spread_ns': 'decimal(38, 9)', 'bps_ns': 'decimal(38, 18)',
        'bid_shared_ns': 'decimal(38, 4)', 'offer_shared_ns': 'decimal(38, 4)',
    } %}
    {%- for column in [
        'updates', 'price_changing_updates', 'bid_live_ns', 'offer_live_ns', 'either_live_ns',
        'both_live_ns', 'bid_quoting_ns', 'offer_quoting_ns', 'either_quoting_ns', 'both_quoting_ns',
        'spread_time_ns', 'spread_ns', 'bps_ns', 'bid_best_ns', 'offer_best_ns', 'both_best_ns',
        'bid_shared_ns', 'offer_shared_ns',
    ] %}
    cast({{ 'sum(' ~ column ~ ')' if add_up else column }}{{ ' over ' ~ over if over }} as {{ types.get(column, 'bigint') }}) as {{ column }}
        {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Measures of a dealer's window from its sums: `valid_ns` is how long the instrument had a valid
   market in it, `window_ns` how long it is. Times at the best divide by the time of valid markets;
   `when_quoting` by the part of it in which the dealer was live on that side. `quoted_ns` is how long it could have
   quoted: windows times instruments. #}
{% macro dealer_ratios(quoted_ns='window_ns') -%}
    6e10 * updates / nullif(window_ns, 0) as quote_frequency,
    100 * cast(both_live_ns as double) / nullif({{ quoted_ns }}, 0) as two_sided_pct,
    100 * cast(bid_best_ns as double) / nullif(valid_ns, 0) as best_bid_pct,
    100 * cast(offer_best_ns as double) / nullif(valid_ns, 0) as best_offer_pct,
    100 * cast(bid_best_ns + offer_best_ns - both_best_ns as double) / nullif(valid_ns, 0)
        as best_either_pct,
    100 * cast(both_best_ns as double) / nullif(valid_ns, 0) as best_both_pct,
    100 * cast(bid_shared_ns as double) / nullif(valid_ns, 0) as best_bid_shared_pct,
    100 * cast(offer_shared_ns as double) / nullif(valid_ns, 0) as best_offer_shared_pct,
    100 * cast(bid_best_ns as double) / nullif(bid_quoting_ns, 0) as best_bid_when_quoting_pct,
    100 * cast(offer_best_ns as double) / nullif(offer_quoting_ns, 0) as best_offer_when_quoting_pct,
    100 * cast(bid_best_ns + offer_best_ns - both_best_ns as double) / nullif(either_quoting_ns, 0)
        as best_either_when_quoting_pct,
    100 * cast(both_best_ns as double) / nullif(both_quoting_ns, 0) as best_both_when_quoting_pct,
    cast(spread_ns as double) / nullif(spread_time_ns, 0) as own_spread,
    cast(bps_ns as double) / nullif(spread_time_ns, 0) as own_spread_bps
{%- endmacro %}


{# Medians over a dealer's updates, per session and scope: its own spread (both sides live) and the
   size of each live side. #}
{% macro dealer_medians(states) -%}
    select
        instrument_id,
        dealer_id,
        session_date,
        session_scope,
        median(cast(spread as double)) as median_spread,
        median(20000 * cast(spread as double) / cast(bid_price + offer_price as double)) as median_spread_bps,
        median(cast(case when bid_until_ns > from_ns then bid_size end as double)) as median_bid_size,
        median(cast(case when offer_until_ns > from_ns then offer_size end as double)) as median_offer_size
    from ({{ in_session_scopes(states) }})
    where is_update
    group by instrument_id, dealer_id, session_date, session_scope
{%- endmacro %}


{# How long, per session and scope, a dealer stood with a quote that had outlived its time to live:
   from then on to its next live quote or the end of the scope, ns. `states`: a session at a time,
   with the bounds of their session and `ttl_ns`. #}
{% macro stale_times(states) -%}
    select
        instrument_id,
        dealer_id,
        session_date,
        session_scope,
        cast(sum({{ overlap_ns('either_until_ns', 'until_ns', 'scope_open_ns', 'scope_close_ns') }}) as bigint)
            as stale_ns
    from (
        select
            *,
            case session_scope when 'regular' then regular_open_ns else open_ns end as scope_open_ns,
            case session_scope when 'regular' then regular_close_ns else close_ns end as scope_close_ns
        from (select *, coalesce(next_ns, close_ns) as until_ns from {{ states }})
        cross join (values ('all'), ('regular')) as scopes (session_scope)
        where either_until_ns < until_ns and quote_ts_ns + ttl_ns = either_until_ns
    )
    where scope_open_ns is not null
    group by instrument_id, dealer_id, session_date, session_scope
{%- endmacro %}


{# Trades by who showed their price: counts of trades against a valid best quote in force strictly
   before them, per session, type of session and text of the dealers at the best price they were
   done at; null where they were done at neither. `trades` and `states` of whole sessions. #}
{% macro trades_by_touch(trades, states) -%}
    select instrument_id, session_date, session_type, dealers, cast(count(*) as bigint) as trades
    from (
        select
            instrument_id,
            session_date,
            session_type,
            case when price = best_bid then bid_dealers when price = best_offer then offer_dealers end as dealers
        from ({{ as_of(trades, states, 'valid_from_ns', {
            'best_bid': 'best_bid', 'best_offer': 'best_offer', 'bid_dealers': 'bid_dealers',
            'offer_dealers': 'offer_dealers', 'is_valid': 'is_quoted', 'valid_to_ns': 'quoted_to_ns',
        }, op='>') }}) as quoted
        where is_quoted and event_ts_ns <= quoted_to_ns
    )
    group by instrument_id, session_date, session_type, dealers
{%- endmacro %}


{# Rows of `a` and `b` that agree in all `columns`: the condition of a join. #}
{% macro same(a, b, columns) -%}
    {%- for column in columns -%}
        {{ a }}.{{ column }} = {{ b }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
