{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.security_versions': 'validity'},
    contract={'enforced': true},
) }}

with quotes as (
    select
        *,
        {{ given_price('BID') }} as given_bid_price,
        {{ given_price('OFFER') }} as given_offer_price,
        {{ given_size('BID') }} as given_bid_size,
        {{ given_size('OFFER') }} as given_offer_size,
        live_bid_price is not null and live_offer_price is not null as is_two_sided
    from {{ touched(ref('quotes')) }}
),

securities as (
    select security_sk, security_name, issuer, market_segment
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

-- A spread needs both sides. A bid in yield stands above its offer, by the spread.
spreads as (
    select
        *,
        case
            when quoted_in = 'yield' then live_bid_price - live_offer_price
            else live_offer_price - live_bid_price
        end as spread,
        live_bid_price + live_offer_price as twice_mid
    from quotes
)

select
    q.quote_key,
    q.dataset,
    q.source,
    q.instrument_id,
    q.dealer_id,
    q.venue,
    q.event_ts,
    q.event_ts_ns,
    q.tie_order,
    q.event_hour,
    q.calendar,
    q.session_date,
    cast(case when q.touches_bid then q.given_bid_price end as decimal(18, 9)) as bid_price,
    cast(case when q.touches_offer then q.given_offer_price end as decimal(18, 9)) as offer_price,
    cast(case when q.touches_bid then q.given_bid_size end as decimal(28, 8)) as bid_size,
    cast(case when q.touches_offer then q.given_offer_size end as decimal(28, 8)) as offer_size,
    q.side,
    q.quote_type,
    q.feed_kind,
    q.is_two_sided,
    cast(q.twice_mid * cast(0.5 as decimal(2, 1)) as decimal(28, 10)) as mid,
    cast(q.spread as decimal(19, 9)) as spread,
    case when q.quoted_in = 'price' then q.spread * 200 / nullif(q.twice_mid, 0) end as spread_pct,
    case
        when q.quoted_in = 'price' then q.spread * 20000 / nullif(q.twice_mid, 0)
        else cast(q.spread * 100 as double)
    end as spread_bps,
    q.spread = 0 as is_locked,
    q.spread < 0 as is_crossed,
    q.security_sk,
    s.security_name,
    s.issuer,
    s.market_segment,
    q.security_sk is null as is_parked
from spreads as q
left join securities as s on q.security_sk = s.security_sk
