{{ config(by=['instrument_id', 'event_hour']) }}

with states as (
    {{ dealer_states(touched(ref('quote_intervals'))) }}
),

pieces as (
    select
        *,
        {% for side in ['bid', 'offer', 'both', 'either'] -%}
            {{ overlap_ns('from_ns', side ~ '_until_ns', 'step_ns', 'step_ns + 900000000000') }}
                as {{ side }}_ns,
        {% endfor -%}
        from_ns >= step_ns as starts_here
    from ({{ cut_at('states', 900, 'from_ns', 'either_until_ns') }})
),

own as (
    select
        instrument_id,
        dealer_id,
        event_hour,
        step_ns as quarter_ns,
        cast(count(*) filter (where starts_here and is_update) as bigint) as updates,
        cast(count(*) filter (where starts_here and is_price_change) as bigint) as price_changing_updates,
        {% for side in ['bid', 'offer', 'both', 'either'] -%}
            sum({{ side }}_ns) as {{ side }}_live_ns,
        {% endfor -%}
        sum(case when spread is not null then both_ns else 0 end) as spread_time_ns,
        sum(cast(spread as decimal(38, 9)) * both_ns) as spread_ns,
        sum(
            cast(20000 * cast(spread as double) / cast(bid_price + offer_price as double) as decimal(38, 18))
            * both_ns
        ) as bps_ns
    from pieces
    group by 1, 2, 3, 4
),

best as (
    select
        instrument_id, valid_from_ns, valid_to_ns, is_valid, bid_dealers, offer_dealers, n_bid_dealers,
        n_offer_dealers
    from {{ touched(ref('best_quotes')) }}
),

-- What of the dealer's own time has no valid market, minute by minute.
minutes as (
    {{ cut_at('states', 60, 'from_ns', 'either_until_ns') }}
),

idle_minutes as (
    {{ cut_at('(select * from best where not is_valid)', 60) }}
),

idle as (
    select
        p.instrument_id,
        p.dealer_id,
        {% for side in ['bid', 'offer', 'both', 'either'] %}
            sum({{ overlap_ns(
                'greatest(p.from_ns, p.step_ns)', 'p.' ~ side ~ '_until_ns',
                'b.valid_from_ns', 'least(b.valid_to_ns, b.step_ns + 60000000000)'
            ) }}) as {{ side }}_idle_ns,
        {% endfor %}
        {{ quarter_of('p.step_ns') }} as quarter_ns
    from minutes as p
    inner join idle_minutes as b on p.instrument_id = b.instrument_id and p.step_ns = b.step_ns
    group by all
),

quarters as (
    select *, step_ns as quarter_ns
    from ({{ cut_at('(select * from best where is_valid)', 900) }})
),

at_best as (
    {{ times_at_best('quarters', 'instrument_id, quarter_ns') }}
),

dated as (
    select *, {{ session_date() }} as session_date
    from (select *, {{ calendar_of() }} as calendar from own)
)

select
    o.instrument_id,
    o.dealer_id,
    {{ timestamp_of('o.quarter_ns') }} as window_start,
    o.event_hour,
    o.calendar,
    o.session_date,
    {{ session_type('o.quarter_ns', 'd') }} as session_type,
    o.updates,
    o.price_changing_updates,
    {% for side in ['bid', 'offer', 'either', 'both'] -%}
        cast(o.{{ side }}_live_ns as bigint) as {{ side }}_live_ns,
        cast(o.{{ side }}_live_ns - coalesce(i.{{ side }}_idle_ns, 0) as bigint) as {{ side }}_quoting_ns,
    {% endfor -%}
    cast(o.spread_time_ns as bigint) as spread_time_ns,
    cast(coalesce(o.spread_ns, 0) as decimal(38, 9)) as spread_ns,
    cast(coalesce(o.bps_ns, 0) as decimal(38, 18)) as bps_ns,
    cast(coalesce(b.bid_best_ns, 0) as bigint) as bid_best_ns,
    cast(coalesce(b.offer_best_ns, 0) as bigint) as offer_best_ns,
    cast(coalesce(b.both_best_ns, 0) as bigint) as both_best_ns,
    cast(coalesce(b.bid_shared_ns, 0) as decimal(38, 4)) as bid_shared_ns,
    cast(coalesce(b.offer_shared_ns, 0) as decimal(38, 4)) as offer_shared_ns
from dated as o
left join idle as i
    on o.instrument_id = i.instrument_id and o.dealer_id = i.dealer_id and o.quarter_ns = i.quarter_ns
left join at_best as b
    on o.instrument_id = b.instrument_id and o.dealer_id = b.dealer_id and o.quarter_ns = b.quarter_ns
left join {{ ref('sessions') }} as d on o.calendar = d.calendar and o.session_date = d.session_date
