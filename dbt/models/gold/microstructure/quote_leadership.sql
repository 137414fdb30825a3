{{ config(by=['instrument_id', 'event_hour'], reach={'gold.best_quotes': 'session'}) }}

with states as (
    select
        *,
        lag(best_bid) over session_so_far as last_bid,
        lag(best_offer) over session_so_far as last_offer,
        lag(valid_to_ns) over session_so_far as last_until_ns
    from {{ touched(ref('best_quotes')) }}
    window session_so_far as (
        partition by instrument_id, calendar, session_date order by valid_from_ns
    )
),

-- Better than what stood there until then, not a return after nothing was quoted.
improvements as (
    select instrument_id, calendar, session_date, bid_leader as dealer_id, 1 as bid, 0 as offer
    from states
    where session_type = 'regular' and last_until_ns = valid_from_ns and best_bid > last_bid
    union all
    select instrument_id, calendar, session_date, offer_leader, 0, 1
    from states
    where session_type = 'regular' and last_until_ns = valid_from_ns and best_offer < last_offer
),

counted as (
    select
        instrument_id,
        calendar,
        session_date,
        dealer_id,
        sum(bid) as bids,
        sum(offer) as offers
    from improvements
    group by 1, 2, 3, 4
)

select
    instrument_id,
    {{ session_start() }} as event_hour,
    session_date,
    dealer_id,
    cast(bids as bigint) as bid_improvements,
    cast(offers as bigint) as offer_improvements,
    {{ ratio('bids', 'sum(bids) over instrument') }} as bid_share,
    {{ ratio('offers', 'sum(offers) over instrument') }} as offer_share,
    {{ ratio('bids + offers', 'sum(bids + offers) over instrument') }} as leadership_share
from counted
window instrument as (partition by instrument_id, session_date)
