{#
    Time-weighted measures of the best bid and offer (analytics.md 13).

    Sums of nanoseconds, and of nanoseconds times prices, are carried as columns: a wider window
    adds them up and divides once.
#}

{# The number of the step of `step_ns` nanoseconds since the epoch that a moment lies in. #}
{% macro step_of(ns, step_ns) -%}
    (({{ ns }}) // {{ step_ns }})
{%- endmacro %}


{# One row per name in a text of names with commas between them. #}
{% macro each_name(names) -%}
    unnest(string_split({{ names }}, ','))
{%- endmacro %}


{# Spans [since, until) in ns, cut at every full `seconds`: all columns, `step_ns` (start of the
   window, ns) and `piece_ns` (what of the span lies in it, ns). #}
{% macro cut_at(spans, seconds, since='valid_from_ns', until='valid_to_ns') -%}
    {%- set step = seconds * 1000000000 %}
    select
        *,
        step * {{ step }} as step_ns,
        least({{ until }}, (step + 1) * {{ step }}) - greatest({{ since }}, step * {{ step }}) as piece_ns
    from (
        select *, {{ numbers_within(step_of(since, step), step_of(until ~ ' - 1', step) ~ ' + 1') }} as step
        from {{ spans }}
    )
{%- endmacro %}


{# How long each state lived, ns: [start_ns, start_ns + life_ns), to the end of its session at the
   latest. States are cut at full hours: those that were are put together again, and only those. #}
{% macro lives_of(states) -%}
    select instrument_id, session_date, valid_from_ns as start_ns, valid_to_ns - valid_from_ns as life_ns
    from {{ states }}
    where starts_state and valid_to_ns % 3600000000000 <> 0
    union all
    select instrument_id, session_date, min(valid_from_ns), max(valid_to_ns) - min(valid_from_ns)
    from (
        select
            *,
            sum(case when starts_state then 1 else 0 end) over (
                partition by instrument_id, session_date order by valid_from_ns
            ) as state_number
        from {{ states }}
        where not starts_state or valid_to_ns % 3600000000000 = 0
    )
    where state_number > 0
    group by instrument_id, session_date, state_number
{%- endmacro %}


{# Concentration of the time at the best price, per key: the sum of squared shares of each side,
   where dealers at one price share its time. `shares`: key, dealer_id, bid_shared_ns,
   offer_shared_ns; `with_live`: and bid_quoting_ns, offer_quoting_ns, whose sums over dealers are
   bid_live_ns and offer_live_ns: the count of live dealers changes within a state of the best. #}
{% macro concentration(shares, key, with_live=false) -%}
    select
        *,
        (bid_hhi + offer_hhi) / 2 as hhi
    from (
        select
            {{ key }},
            {% if with_live -%}
            cast(sum(bid_quoting_ns) as bigint) as bid_live_ns,
            cast(sum(offer_quoting_ns) as bigint) as offer_live_ns,
            {% endif -%}
            {%- for side in ['bid', 'offer'] %}
            {%- set share = side ~ '_shared_ns' %}
            cast(sum({{ share }} * {{ share }}) as double)
            / nullif(cast(sum({{ share }}) as double) * cast(sum({{ share }}) as double), 0) as {{ side }}_hhi
            {{- ',' if not loop.last }}
            {%- endfor %}
        from {{ shares }}
        group by {{ key }}
    )
{%- endmacro %}


{# Measures from the sums of a window: one division each. `window_ns` is its length. #}
{% macro liquidity_ratios() -%}
    cast(spread_ns as double) / nullif(valid_ns, 0) as twas,
    cast(bps_ns as double) / nullif(valid_ns, 0) as twas_bps,
    cast(valid_ns as double) / nullif(window_ns, 0) as coverage,
    100 * cast(two_sided_ns as double) / nullif(window_ns, 0) as two_sided_pct,
    100 * cast(locked_ns as double) / nullif(two_sided_ns, 0) as locked_pct,
    100 * cast(crossed_ns as double) / nullif(two_sided_ns, 0) as crossed_pct,
    cast(lifetime_squared_ns as double) / nullif(cast(lifetime_ns as double), 0) / 1e6 as lifetime_ms,
    cast(lifetime_ns as double) / nullif(state_count, 0) / 1e6 as mean_state_ms,
    100 * cast(flicker_count as double) / nullif(state_count, 0) as flicker_pct,
    6e10 * price_changes / nullif(window_ns, 0) as price_changes_per_min,
    6e10 * mid_changes / nullif(window_ns, 0) as mid_changes_per_min,
    6e10 * leader_changes / nullif(window_ns, 0) as leader_changes_per_min,
    cast(bid_best_ns as double) / nullif(valid_ns, 0) as best_bid_dealers,
    cast(offer_best_ns as double) / nullif(valid_ns, 0) as best_offer_dealers,
    bid_hhi,
    offer_hhi,
    hhi,
    1 / nullif(hhi, 0) as effective_makers
{%- endmacro %}


{# The sums that wider windows add up, in their types; `aggregate` is what is done with them. #}
{% macro liquidity_sums(aggregate='sum') -%}
    {%- set types = {'spread_ns': 'decimal(38, 9)', 'bps_ns': 'decimal(38, 18)', 'lifetime_squared_ns': 'decimal(38, 0)'} %}
    {%- for column in [
        'quoted_ns', 'two_sided_ns', 'valid_ns', 'locked_ns', 'crossed_ns', 'spread_ns', 'bps_ns',
        'state_count', 'flicker_count', 'lifetime_ns', 'lifetime_squared_ns', 'price_changes',
        'mid_changes', 'leader_changes', 'bid_best_ns', 'offer_best_ns',
    ] %}
    cast({{ aggregate ~ '(' ~ column ~ ')' if aggregate else column }} as {{ types.get(column, 'bigint') }}) as {{ column }}
        {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Half of a sum of two prices, exact. #}
{% macro half_of(value) -%}
    cast({{ value }} * cast(0.5 as decimal(2, 1)) as decimal(28, 10))
{%- endmacro %}


{# Best bid/offer states with what changed in them against the state before in their session: best
   prices, the mid of valid states, the leaders. A side that appears or goes is a change of price;
   a mid or leader is compared with the last one known. The first of a session changes nothing. #}
{% macro changes_of(states) -%}
    select
        *,
        case when starts_state and number > 1
            and (best_bid is distinct from last_bid or best_offer is distinct from last_offer)
            then 1 else 0 end as price_changes,
        case when valid_mid <> last_mid then 1 else 0 end as mid_changes,
        case when bid_leader <> last_bid_leader then 1 else 0 end
        + case when offer_leader <> last_offer_leader then 1 else 0 end as leader_changes,
        cast(case when is_valid then 20000 * cast(best_offer - best_bid as double)
            / cast(best_bid + best_offer as double) end as decimal(38, 18)) as spread_bps
    from (
        select
            *,
            row_number() over session as number,
            lag(best_bid) over session as last_bid,
            lag(best_offer) over session as last_offer,
            {{ last_known('valid_mid') }} over earlier as last_mid,
            {{ last_known('bid_leader') }} over earlier as last_bid_leader,
            {{ last_known('offer_leader') }} over earlier as last_offer_leader
        from (select *, case when is_valid then best_bid + best_offer end as valid_mid from {{ states }})
        window
            session as (partition by instrument_id, session_date order by valid_from_ns),
            earlier as (
                partition by instrument_id, session_date order by valid_from_ns
                rows between unbounded preceding and 1 preceding
            )
    )
{%- endmacro %}


{# How long each dealer stood at the best price while both sides were valid, ns, per `key`: alone or
   not, and shared (time divided by the dealers at the price). #}
{% macro times_at_best(pieces, key) -%}
    select
        {{ key }},
        dealer_id,
        cast(sum(bid_ns) as bigint) as bid_best_ns,
        cast(sum(offer_ns) as bigint) as offer_best_ns,
        cast(sum(case when contains(others, ',' || dealer_id || ',') then bid_ns else 0 end) as bigint)
            as both_best_ns,
        {{ shared_ns('bid_ns', 'dealers') }} as bid_shared_ns,
        {{ shared_ns('offer_ns', 'dealers') }} as offer_shared_ns
    from (
        select
            {{ key }},
            {{ each_name('bid_dealers') }} as dealer_id,
            n_bid_dealers as dealers,
            piece_ns as bid_ns,
            0 as offer_ns,
            ',' || offer_dealers || ',' as others
        from {{ pieces }}
        where is_valid
        union all
        select {{ key }}, {{ each_name('offer_dealers') }}, n_offer_dealers, 0, piece_ns, ''
        from {{ pieces }}
        where is_valid
    )
    group by {{ key }}, dealer_id
{%- endmacro %}


{# The sum of times of at most some hours, each divided by a number of dealers and cut at a
   ten-thousandth of a nanosecond: whole numbers until the last step. #}
{% macro shared_ns(ns, dealers) -%}
    cast(
        sum({{ step_of('cast(' ~ ns ~ ' as bigint) * 10000', dealers) }}) * cast(0.0001 as decimal(5, 4))
        as decimal(38, 4)
    )
{%- endmacro %}


{# How long a session is in a scope, ns: its regular hours, or all its trading hours; where it has
   none, from its start to its end. `low` and `high` clip it to a window. #}
{% macro session_ns(scope, s, low=none, high=none) -%}
    {%- set bounds = [] %}
    {%- for first, last in [('regular_open_ns', 'regular_close_ns'), ('extended_open_ns', 'extended_close_ns'),
                            ('session_start_ns', 'session_end_ns')] %}
        {%- set since, until = s ~ '.' ~ first, s ~ '.' ~ last %}
        {%- do bounds.append(overlap_ns(since, until, low, high) if low else until ~ ' - ' ~ since) %}
    {%- endfor %}
    case
        when {{ scope }} = 'regular' then {{ bounds[0] }}
        when {{ s }}.is_trading_day then {{ bounds[1] }}
        else {{ bounds[2] }}
    end
{%- endmacro %}


{# The length in ns of what [since, until) and [low, high) have in common. #}
{% macro overlap_ns(since, until, low, high) -%}
    greatest(0, least({{ until }}, {{ high }}) - greatest({{ since }}, {{ low }}))
{%- endmacro %}


{# Sums of a dealer's times in the market, ns. #}
{% macro shared_sums() -%}
    sum(bid_shared_ns) as bid_shared_ns,
    sum(offer_shared_ns) as offer_shared_ns,
    sum(bid_quoting_ns) as bid_quoting_ns,
    sum(offer_quoting_ns) as offer_quoting_ns
{%- endmacro %}


{# Dealers with a live bid, and offer, weighted by valid time. #}
{% macro live_dealers() -%}
    cast(coalesce(bid_live_ns, 0) as double) / nullif(valid_ns, 0) as live_bid_dealers,
    cast(coalesce(offer_live_ns, 0) as double) / nullif(valid_ns, 0) as live_offer_dealers
{%- endmacro %}


{# What trading does to the price, per session and scope, over minutes whose mid and that of the
   minute before are known: Amihud's mean of |log return| / notional over minutes with trades, and
   Kyle's slope of the change of mid (currency; and of the return in bps) on signed volume by least
   squares. Null with fewer than 30 minutes. `minutes`: liquidity_1m in scopes; `flows`: notional
   and signed volume per minute. #}
{% macro price_impact(minutes, flows) -%}
    {%- set y = {'kyle_lambda': 'change', 'kyle_lambda_bps': 'return_bps'} %}
    select
        instrument_id,
        session_date,
        session_scope,
        cast(count(*) as bigint) as return_minutes,
        cast(count(illiquidity) as bigint) as traded_minutes,
        case when count(illiquidity) >= 30
            then cast(sum(illiquidity) as double) / count(illiquidity) end as amihud
        {%- for name, y in y.items() %},
        case
            when count(*) >= 30
                then (count(*) * cast(sum(cast({{ y }} * flow as decimal(38, 12))) as double)
                    - cast(sum(cast({{ y }} as decimal(38, 12))) as double) * cast(sum(signed_volume) as double))
                    / nullif(count(*) * cast(sum(cast(flow * flow as decimal(38, 8))) as double)
                        - cast(sum(signed_volume) as double) * cast(sum(signed_volume) as double), 0)
        end as {{ name }}
        {%- endfor %}
    from (
        select
            *,
            cast(signed_volume as double) as flow,
            1e4 * log_return as return_bps,
            cast(abs(log_return) / cast(nullif(notional, 0) as double) as decimal(38, 27)) as illiquidity
        from (
            select
                m.instrument_id,
                m.session_date,
                m.session_scope,
                cast(m.last_mid - m.earlier_mid as double) as change,
                {{ log_return('m.last_mid', 'm.earlier_mid') }} as log_return,
                f.notional,
                coalesce(f.signed_volume, 0) as signed_volume
            from (
                select
                    *,
                    case when lag(window_start) over session = window_start - interval 1 minute
                        then lag(last_mid) over session end as earlier_mid
                from {{ minutes }}
                window session as (
                    partition by instrument_id, session_date, session_scope order by window_start
                )
            ) as m
            left join {{ flows }} as f
                on m.instrument_id = f.instrument_id and m.window_start = f.window_start
            where m.last_mid is not null and m.earlier_mid is not null
        )
    )
    group by instrument_id, session_date, session_scope
{%- endmacro %}


{# ln(now / before) of two exact numbers: from their exact difference, since the quotient of two close
   numbers has lost its last digits. #}
{% macro log_return(now, before) -%}
    2 * atanh(cast({{ now }} - {{ before }} as double) / cast({{ now }} + {{ before }} as double))
{%- endmacro %}
