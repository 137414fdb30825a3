{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'gold.dealer_activity_15m': 'session',
        'gold.liquidity_1h': 'session',
        'silver.quote_intervals': 'session',
    },
) }}

with quarters as (
    {{ in_session_scopes(touched(ref('dealer_activity_15m'))) }}
),

own as (
    select
        instrument_id,
        dealer_id,
        calendar,
        session_date,
        session_scope,
        {{ dealer_sums() }}
    from quarters
    group by 1, 2, 3, 4, 5
),

markets as (
    select
        instrument_id,
        session_date,
        session_scope,
        cast(sum(valid_ns) as bigint) as valid_ns
    from {{ touched(ref('liquidity_1h')) }}
    group by 1, 2, 3
),

states as (
    select q.*, {{ session_type('q.from_ns', 's') }} as session_type
    from ({{ dealer_states(touched(ref('quote_intervals'))) }}) as q
    left join {{ ref('sessions') }} as s on q.calendar = s.calendar and q.session_date = s.session_date
    where q.is_update
),

medians as (
    select
        instrument_id,
        dealer_id,
        session_date,
        session_scope,
        median(cast(spread as double)) as median_spread,
        median(20000 * cast(spread as double) / cast(bid_price + offer_price as double)) as median_spread_bps,
        median(cast(case when bid_until_ns > from_ns then bid_size end as double)) as median_bid_size,
        median(cast(case when offer_until_ns > from_ns then offer_size end as double)) as median_offer_size
    from ({{ in_session_scopes('states') }})
    group by 1, 2, 3, 4
),

joined as (
    select
        o.*,
        m.median_spread,
        m.median_spread_bps,
        m.median_bid_size,
        m.median_offer_size,
        v.valid_ns,
        {{ session_ns('o.session_scope', 's') }} as window_ns,
        {{ session_start('o.session_date', 'o.calendar') }} as event_hour
    from own as o
    left join medians as m
        on o.instrument_id = m.instrument_id and o.dealer_id = m.dealer_id
        and o.session_date = m.session_date and o.session_scope = m.session_scope
    left join markets as v
        on o.instrument_id = v.instrument_id and o.session_date = v.session_date
        and o.session_scope = v.session_scope
    left join {{ ref('sessions') }} as s on o.calendar = s.calendar and o.session_date = s.session_date
)

select
    instrument_id,
    dealer_id,
    event_hour,
    calendar,
    session_date,
    session_scope,
    {{ dealer_ratios() }},
    median_spread,
    median_spread_bps,
    median_bid_size,
    median_offer_size,
    window_ns,
    valid_ns,
    {{ dealer_sums(add_up=false) }}
from joined
