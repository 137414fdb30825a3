{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.security_versions': 'validity'},
) }}

with quotes as (
    select * from {{ touched(ref('quotes')) }}
),

securities as (
    select security_sk, security_name, issuer, market_segment
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

-- A side without price or size is withdrawn; a spread needs both.
two_sided as (
    select
        *,
        bid_price > 0 and bid_size > 0 and offer_price > 0 and offer_size > 0 as is_two_sided
    from quotes
),

spreads as (
    select
        *,
        case when is_two_sided then offer_price - bid_price end as spread,
        case when is_two_sided then bid_price + offer_price end as twice_mid
    from two_sided
)

select
    q.quote_key,
    q.instrument_id,
    q.dealer_id,
    q.venue,
    q.event_ts,
    q.event_ts_ns,
    q.tie_order,
    q.event_hour,
    q.session_date,
    q.bid_price,
    q.offer_price,
    q.bid_size,
    q.offer_size,
    q.quote_type,
    coalesce(q.is_two_sided, false) as is_two_sided,
    cast(q.twice_mid * cast(0.5 as decimal(2, 1)) as decimal(28, 10)) as mid,
    cast(q.spread as decimal(19, 9)) as spread,
    q.spread * 200 / nullif(q.twice_mid, 0) as spread_pct,
    q.spread * 20000 / nullif(q.twice_mid, 0) as spread_bps,
    q.spread = 0 as is_locked,
    q.spread < 0 as is_crossed,
    q.security_sk,
    s.security_name,
    s.issuer,
    s.market_segment,
    q.security_sk is null as is_parked
from spreads as q
left join securities as s on q.security_sk = s.security_sk
