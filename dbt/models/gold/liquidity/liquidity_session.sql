{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'gold.liquidity_1h': 'session',
        'gold.liquidity_1m': 'session',
        'gold.dealer_activity': 'hour',
        'gold.candle_windows_1m': 'session',
    },
) }}

with sums as (
    select
        instrument_id,
        calendar,
        session_date,
        session_scope,
        {{ liquidity_sums() }}
    from {{ touched(ref('liquidity_1h')) }}
    group by 1, 2, 3, 4
),

shares as (
    select
        instrument_id, session_date, session_scope, dealer_id, bid_shared_ns, offer_shared_ns, bid_quoting_ns,
        offer_quoting_ns
    from {{ touched(ref('dealer_activity')) }}
),

hhi as (
    {{ concentration('shares', 'instrument_id, session_date, session_scope', with_live=true) }}
),

minutes as (
    {{ in_session_scopes(touched(ref('liquidity_1m'))) }}
),

flows as (
    select instrument_id, window_start, notional, buy_volume - sell_volume as signed_volume
    from {{ touched(ref('candle_windows_1m')) }}
    where venue = 'ALL'
),

impact as (
    {{ price_impact('minutes', 'flows') }}
),

joined as (
    select
        s.*,
        h.bid_hhi,
        h.offer_hhi,
        h.hhi,
        h.bid_live_ns,
        h.offer_live_ns,
        i.return_minutes,
        i.traded_minutes,
        i.amihud,
        i.kyle_lambda,
        i.kyle_lambda_bps,
        {{ session_start('s.session_date', 's.calendar') }} as event_hour,
        {{ session_ns('s.session_scope', 'd') }} as window_ns
    from sums as s
    left join hhi as h
        on s.instrument_id = h.instrument_id
        and s.session_date = h.session_date
        and s.session_scope = h.session_scope
    left join impact as i
        on s.instrument_id = i.instrument_id
        and s.session_date = i.session_date
        and s.session_scope = i.session_scope
    left join {{ ref('sessions') }} as d on s.calendar = d.calendar and s.session_date = d.session_date
)

select
    instrument_id,
    event_hour as window_start,
    event_hour,
    calendar,
    session_date,
    session_scope,
    {{ liquidity_ratios() }},
    {{ live_dealers() }},
    amihud,
    kyle_lambda,
    kyle_lambda_bps,
    traded_minutes,
    return_minutes,
    cast(window_ns as bigint) as window_ns,
    cast(coalesce(bid_live_ns, 0) as bigint) as bid_live_ns,
    cast(coalesce(offer_live_ns, 0) as bigint) as offer_live_ns,
    {{ liquidity_sums(none) }}
from joined
