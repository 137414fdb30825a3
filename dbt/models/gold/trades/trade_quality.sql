{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.enriched_trades': 'session', 'gold.best_quotes': 'session'},
) }}

with trades as (
    select
        t.*,
        cast(t.price as decimal(20, 9)) * 2 as twice_price,
        cast(t.quote_bid_price as decimal(20, 9)) + t.quote_offer_price as twice_mid
    from {{ touched(ref('enriched_trades')) }} as t
    where t.session_type = 'regular' and {{ trade_filter('t') }}
),

directed as (
    {{ directed('trades') }}
),

mids as (
    select
        instrument_id,
        valid_from_ns,
        valid_to_ns,
        cast(best_bid as decimal(20, 9)) + best_offer as twice_mid
    from {{ touched(ref('best_quotes'), hours_after=1) }}
    where best_bid is not null and best_offer is not null
),

later as (
    {{ later_mids('trades', 'mids') }}
),

-- Without a valid reference nothing is measured; nor past the close of the regular session.
measured as (
    select
        t.*,
        {% for s in horizons() %}
            case
                when t.quote_status = 'OK' and t.event_ts_ns + {{ s }}000000000 < s.regular_close_ns
                    then l.twice_mid_{{ s }}s
            end as twice_mid_{{ s }}s,
        {% endfor %}
        case when t.quote_status = 'OK' then t.quote_offer_price - t.quote_bid_price end as quoted_spread,
        case
            when t.quote_status = 'OK' then t.direction * (t.twice_price - t.twice_mid)
        end as effective_spread,
        case
            when t.quote_status <> 'OK' then null
            when t.direction = 1 then t.quote_offer_price - t.price
            else t.price - t.quote_bid_price
        end as price_improvement
    from directed as t
    inner join {{ ref('sessions') }} as s on t.calendar = s.calendar and t.session_date = s.session_date
    left join later as l on t.instrument_id = l.instrument_id and t.event_ts_ns = l.event_ts_ns
)

select
    trade_key,
    instrument_id,
    coalesce(venue, case direction when 1 then quote_offer_dealer_id else quote_bid_dealer_id end) as venue,
    event_ts,
    event_ts_ns,
    tie_order,
    event_hour,
    session_date,
    price,
    quantity,
    {{ size_bucket() }} as size_bucket,
    notional,
    direction,
    direction_by,
    quote_status as ref_status,
    {{ difference('quoted_spread') }},
    {{ difference('effective_spread') }},
    {% for s in horizons() %}
        {{ difference('realized_spread_' ~ s ~ 's', 'direction * (twice_price - twice_mid_' ~ s ~ 's)') }},
        {{ difference('price_impact_' ~ s ~ 's', 'direction * (twice_mid_' ~ s ~ 's - twice_mid)') }},
    {% endfor %}
    {{ difference('price_improvement') }},
    {{ ratio('price_improvement * 100', 'quoted_spread') }} as price_improvement_pct,
    {{ ratio('effective_spread', 'quoted_spread') }} as effective_over_quoted,
    case
        when quote_status <> 'OK' then null
        when price = quote_bid_price then 'AT_BID'
        when price = quote_offer_price then 'AT_OFFER'
        when price > quote_bid_price and price < quote_offer_price then 'INSIDE'
        else 'OUTSIDE'
    end as location,
    case when quote_status = 'OK' then price between quote_bid_price and quote_offer_price end
        as is_within_spread
from measured
