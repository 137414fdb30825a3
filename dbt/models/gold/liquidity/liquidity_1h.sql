{{ config(by=['instrument_id', 'event_hour']) }}

with minutes as (
    {{ in_session_scopes(touched(ref('liquidity_1m'))) }}
),

sums as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        session_scope,
        {{ liquidity_sums() }}
    from minutes
    group by 1, 2, 3, 4, 5
),

shares as (
    select instrument_id, event_hour, session_scope, dealer_id, {{ shared_sums() }}
    from ({{ in_session_scopes(touched(ref('dealer_activity_15m'))) }})
    group by 1, 2, 3, 4
),

hhi as (
    {{ concentration('shares', 'instrument_id, event_hour, session_scope', with_live=true) }}
),

-- The part of the hour that lies in the scope; hours outside trading hours are whole.
joined as (
    select
        s.*,
        h.bid_hhi,
        h.offer_hhi,
        h.hhi,
        h.bid_live_ns,
        h.offer_live_ns,
        case
            when s.session_scope = 'all' then 3600000000000
            else {{ overlap_ns(
                'd.regular_open_ns', 'd.regular_close_ns',
                ns_of('s.event_hour'), ns_of('s.event_hour') ~ ' + 3600000000000'
            ) }}
        end as window_ns
    from sums as s
    left join hhi as h
        on s.instrument_id = h.instrument_id
        and s.event_hour = h.event_hour
        and s.session_scope = h.session_scope
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
    cast(window_ns as bigint) as window_ns,
    cast(coalesce(bid_live_ns, 0) as bigint) as bid_live_ns,
    cast(coalesce(offer_live_ns, 0) as bigint) as offer_live_ns,
    {{ liquidity_sums(none) }}
from joined
