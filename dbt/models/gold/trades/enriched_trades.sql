{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.best_quotes': 'hour_and_next', 'silver.security_versions': 'validity'},
) }}

with trades as (
    select t.*, {{ reference_ns() }} as reference_ns from {{ touched(ref('trades')) }} as t
),

securities as (
    select security_sk, security_name, issuer, market_segment, cusip, isin
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

best as (
    select
        instrument_id, event_hour, valid_from_ns, valid_to_ns, starts_state,
        best_bid, best_offer, bid_size, offer_size, bid_leader, offer_leader
    from {{ touched(ref('best_quotes'), hours_back=1) }}
),

states as (
    {{ begun_states('best') }}
),

quoted as (
    {{ as_of('trades', 'states', 'valid_from_ns', [
        'valid_to_ns', 'began_ns', 'best_bid', 'best_offer', 'bid_size', 'offer_size',
        'bid_leader', 'offer_leader',
    ], at='reference_ns', op='>') }}
),

judged as (
    select
        q.*,
        {{ quote_status('q', 'q.reference_ns') }} as quote_status,
        q.valid_to_ns >= q.reference_ns as is_quoted
    from quoted as q
)

select
    t.trade_key,
    t.trade_id,
    t.instrument_id,
    t.venue,
    t.source,
    t.event_ts,
    t.event_ts_ns,
    t.tie_order,
    t.event_hour,
    t.calendar,
    t.session_date,
    t.session_type,
    t.price,
    t.quantity,
    t.side,
    t.trader_id,
    t.notional,
    t.is_price_eligible,
    t.is_volume_eligible,
    t.is_cross,
    t.is_outlier,
    {% for side in ['bid', 'offer'] %}
        case when t.is_quoted then cast(t.best_{{ side }} as decimal(18, 9)) end as quote_{{ side }}_price,
        case when t.is_quoted then cast(t.{{ side }}_size as decimal(38, 8)) end as quote_{{ side }}_size,
        case when t.is_quoted then t.{{ side }}_leader end as quote_{{ side }}_dealer_id,
    {% endfor %}
    case
        when t.is_quoted then {{ bps_of_mid('t.best_offer - t.best_bid', 't.best_bid + t.best_offer') }}
    end as quote_spread_bps,
    case
        when t.is_quoted and t.event_ts_ns - t.began_ns < 3600000000000
            then cast(t.event_ts_ns - t.began_ns as double) / 1e6
    end as quote_age_ms,
    t.quote_status,
    t.security_sk,
    s.security_name,
    s.issuer,
    s.market_segment,
    s.cusip,
    s.isin,
    t.security_sk is null as is_parked
from judged as t
left join securities as s on t.security_sk = s.security_sk
