{#
    What each dealer showed, and when (analytics.md 12).
#}

{# The states of each dealer's own quote: from `from_ns` on it shows `bid_price` until `bid_until_ns`
   and `offer_price` until `offer_until_ns` (equal to from_ns: that side is not live); both sides
   stand until `both_until_ns`, at least one until `either_until_ns`. A row per moment at which a
   side begins; several updates of one nanosecond are one. One pass over the intervals of firm
   quotes, hour by hour or session by session (`span`). #}
{% macro dealer_states(intervals, span='event_hour') -%}
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
            case when bid_to_ns > from_ns then least(bid_to_ns, coalesce(next_ns, bid_to_ns)) else from_ns end
                as bid_until_ns,
            case when offer_to_ns > from_ns then least(offer_to_ns, coalesce(next_ns, offer_to_ns)) else from_ns end
                as offer_until_ns
        from (
            select
                instrument_id,
                dealer_id,
                calendar,
                session_date,
                event_hour,
                from_ns,
                lead(from_ns) over ordered as next_ns,
                max(quote_ts_ns) over so_far as quote_ts_ns,
                max(since_ns) over so_far as since_ns,
                {% for side in ['bid', 'offer'] -%}
                    {{ last_known("case when side = '" ~ side | upper ~ "' then price end") }} over so_far
                        as {{ side }}_price,
                    {{ last_known("case when side = '" ~ side | upper ~ "' then size end") }} over so_far
                        as {{ side }}_size,
                    {{ last_known("case when side = '" ~ side | upper ~ "' then to_ns end") }} over so_far
                        as {{ side }}_to_ns{{ ',' if not loop.last }}
                {% endfor -%}
            from {{ intervals }}
            where quote_type = 'F' and is_valid
            window
                ordered as (partition by instrument_id, dealer_id, {{ span }} order by from_ns, side, quote_key),
                so_far as (
                    partition by instrument_id, dealer_id, {{ span }} order by from_ns, side, quote_key
                    rows between unbounded preceding and current row
                )
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
        'bid_shared_ns': 'decimal(38, 6)', 'offer_shared_ns': 'decimal(38, 6)',
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
