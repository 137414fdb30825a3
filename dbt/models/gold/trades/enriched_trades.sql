{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.enriched_quotes': 'hour_and_next', 'silver.security_versions': 'validity'},
) }}

with trades as (
    select * from {{ touched(ref('trades')) }}
),

securities as (
    select security_sk, security_name, issuer, market_segment, cusip, isin
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

-- The last state at each moment: a trade is compared with quotes strictly before it.
quotes as (
    select
        instrument_id,
        event_ts_ns,
        max_by((bid_price, offer_price, spread_bps, dealer_id), tie_order) as last
    from {{ touched(ref('enriched_quotes'), hours_back=1) }}
    where is_two_sided and quote_type = 'F'
    group by all
)

select
    t.trade_key,
    t.trade_id,
    t.instrument_id,
    t.venue,
    t.event_ts,
    t.event_ts_ns,
    t.tie_order,
    t.event_hour,
    t.session_date,
    t.price,
    t.quantity,
    t.side,
    t.trader_id,
    t.notional,
    case when {{ quote_lives() }} then q.last[1] end as quote_bid_price,
    case when {{ quote_lives() }} then q.last[2] end as quote_offer_price,
    case when {{ quote_lives() }} then q.last[3] end as quote_spread_bps,
    case when {{ quote_lives() }} then q.last[4] end as quote_dealer_id,
    case when {{ quote_lives() }} then (t.event_ts_ns - q.event_ts_ns) / 1e6 end as quote_age_ms,
    t.security_sk,
    s.security_name,
    s.issuer,
    s.market_segment,
    s.cusip,
    s.isin,
    t.security_sk is null as is_parked
from trades as t
asof left join quotes as q
    on t.instrument_id = q.instrument_id and t.event_ts_ns > q.event_ts_ns
left join securities as s on t.security_sk = s.security_sk
