{{ config(by=['instrument_id', 'event_hour'], reach={'gold.best_quotes': 'session'}) }}

-- Lifetimes and changes look along the session, so whole sessions are in scope.
with states as (
    select * from {{ touched(ref('best_quotes')) }}
),

changes as (
    {{ changes_of('states') }}
),

pieces as (
    select
        *,
        case when is_valid then piece_ns else 0 end as valid_piece_ns,
        valid_from_ns >= step_ns as starts_here
    from ({{ cut_at('changes', 60) }})
),

lives as (
    {{ lives_of('states') }}
),

at_best as (
    {{ times_at_best('pieces', 'instrument_id, step_ns') }}
),

hhi as (
    {{ concentration('at_best', 'instrument_id, step_ns') }}
),

lifetimes as (
    select
        instrument_id,
        {{ step_of('start_ns', 60000000000) }} * 60000000000 as step_ns,
        count(*) as state_count,
        sum(life_ns) as lifetime_ns,
        sum(cast(life_ns as decimal(38, 0)) * life_ns) as lifetime_squared_ns,
        count(*) filter (where life_ns < 100000000) as flicker_count
    from lives
    group by instrument_id, {{ step_of('start_ns', 60000000000) }}
),

sums as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        step_ns,
        60000000000 as window_ns,
        sum(piece_ns) as quoted_ns,
        sum(case when is_two_sided then piece_ns else 0 end) as two_sided_ns,
        sum(case when is_locked then piece_ns else 0 end) as locked_ns,
        sum(case when is_crossed then piece_ns else 0 end) as crossed_ns,
        sum(valid_piece_ns) as valid_ns,
        sum(cast(best_offer - best_bid as decimal(38, 9)) * valid_piece_ns) as spread_ns,
        sum(spread_bps * valid_piece_ns) as bps_ns,
        sum(n_bid_dealers * valid_piece_ns) as bid_best_ns,
        sum(n_offer_dealers * valid_piece_ns) as offer_best_ns,
        sum(case when starts_here then price_changes else 0 end) as price_changes,
        sum(case when starts_here then mid_changes else 0 end) as mid_changes,
        sum(case when starts_here then leader_changes else 0 end) as leader_changes,
        min(valid_mid) as lowest_mid,
        max(valid_mid) as highest_mid,
        max_by(valid_mid, case when is_valid then valid_from_ns end) as last_mid
    from pieces
    group by instrument_id, event_hour, calendar, session_date, step_ns
),

joined as (
    select
        s.*,
        coalesce(l.state_count, 0) as state_count,
        coalesce(l.flicker_count, 0) as flicker_count,
        coalesce(l.lifetime_ns, 0) as lifetime_ns,
        coalesce(l.lifetime_squared_ns, 0) as lifetime_squared_ns,
        h.bid_hhi,
        h.offer_hhi,
        h.hhi,
        {{ session_type('s.step_ns', 'd') }} as session_type
    from sums as s
    left join lifetimes as l on s.instrument_id = l.instrument_id and s.step_ns = l.step_ns
    left join hhi as h on s.instrument_id = h.instrument_id and s.step_ns = h.step_ns
    left join {{ ref('sessions') }} as d on s.calendar = d.calendar and s.session_date = d.session_date
)

select
    instrument_id,
    {{ timestamp_of('step_ns') }} as window_start,
    event_hour,
    calendar,
    session_date,
    session_type,
    {{ liquidity_ratios() }},
    {{ half_of('lowest_mid') }} as lowest_mid,
    {{ half_of('highest_mid') }} as highest_mid,
    {{ half_of('last_mid') }} as last_mid,
    window_ns,
    {{ liquidity_sums(none) }}
from joined
