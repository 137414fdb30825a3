{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.quote_intervals': 'session', 'silver.security_versions': 'validity'},
) }}

-- A bid on one venue above the offer on another by arbitrage_min_bps or more, both firm, sized and
-- quoted within arbitrage_max_age_ms (analytics.md 16, D24). Pairs of venues are ordered.
{% set age_ns = var('arbitrage_max_age_ms') * 1000000 %}
with sides as not materialized (
    select
        q.instrument_id, q.session_date, q.venue, q.side, q.price, q.size, q.quote_key,
        q.from_ns,
        least(q.to_ns, q.quote_ts_ns + {{ age_ns }} + 1) as until_ns
    from {{ touched(ref('quote_intervals')) }} as q
    inner join {{ ref('sessions') }} as s on q.calendar = s.calendar and q.session_date = s.session_date
    where
        q.quote_type = 'F' and q.feed_kind <> 'consolidated' and q.is_valid and q.venue is not null
        and q.size > 0 and q.size >= {{ var('arbitrage_min_size') }}
        and {{ session_type('q.from_ns') }} = 'regular'
        and q.from_ns < least(q.to_ns, q.quote_ts_ns + {{ age_ns }} + 1)
),

-- A fresh quote lies in at most two stretches of that age: two that meet share one.
placed as not materialized (
    select *, {{ stretch_of('from_ns', var('arbitrage_max_age_ms') / 1000) }} as stretch from sides
    union all
    select *, {{ stretch_of('from_ns', var('arbitrage_max_age_ms') / 1000) }} + 1 as stretch
    from sides
    where
        {{ stretch_of('(until_ns - 1)', var('arbitrage_max_age_ms') / 1000) }}
        > {{ stretch_of('from_ns', var('arbitrage_max_age_ms') / 1000) }}
),

crossed as (
    select instrument_id, stretch
    from placed
    group by instrument_id, stretch
    having
        max(price) filter (where side = 'BID') * 10000
        >= min(price) filter (where side = 'OFFER') * (10000 + {{ var('arbitrage_min_bps') }})
),

near as (
    select p.*
    from placed as p
    inner join crossed as c on p.instrument_id = c.instrument_id and p.stretch = c.stretch
),

pairs as (
    select
        b.instrument_id, b.session_date, b.stretch,
        b.venue as sell_venue, o.venue as buy_venue,
        b.price as sell_price, o.price as buy_price,
        least(b.size, o.size) as size,
        greatest(b.from_ns, o.from_ns) as event_ts_ns,
        least(b.until_ns, o.until_ns) as until_ns,
        b.quote_key || '/' || o.quote_key as trigger_key
    from near as b
    inner join near as o on b.instrument_id = o.instrument_id and b.stretch = o.stretch
    where
        b.side = 'BID' and o.side = 'OFFER' and b.venue <> o.venue
        and b.price * 10000 >= o.price * (10000 + {{ var('arbitrage_min_bps') }})
        and b.from_ns < o.until_ns and o.from_ns < b.until_ns
),

priced as (
    select
        p.*,
        cast((p.sell_price - p.buy_price) * p.size as decimal(38, 12)) as gain,
        cast(
            cast(cast(p.sell_price + p.buy_price as decimal(38, 9)) * p.size as decimal(38, 12))
            * {{ var('arbitrage_fees_bps') }} / 10000 as decimal(38, 12)
        ) as fees,
        coalesce(s.price_multiplier, 1) as multiplier
    from pairs as p
    left join {{ touched(ref('security_versions'), by=['instrument_id']) }} as s
        on p.instrument_id = s.instrument_id
        and {{ timestamp_of('p.event_ts_ns') }} >= s.valid_from
        and (s.valid_to is null or {{ timestamp_of('p.event_ts_ns') }} < s.valid_to)
    where p.stretch = {{ stretch_of('p.event_ts_ns', var('arbitrage_max_age_ms') / 1000) }}
),

triggers as (
    select
        'arbitrage' as rule,
        'quotes' as dataset,
        concat_ws('/', instrument_id, buy_venue, sell_venue) as key,
        instrument_id,
        cast(null as varchar) as venue,
        session_date,
        'ARBITRAGE' as severity,
        cast((sell_price - buy_price) * 10000 as double) / cast(buy_price as double) as value,
        {{ var('arbitrage_min_bps') }} as threshold,
        buy_price as reference,
        event_ts_ns,
        until_ns,
        trigger_key,
        size as volume,
        buy_venue,
        sell_venue,
        buy_price,
        sell_price,
        cast((sell_price - buy_price) * 10000 as double) / cast(buy_price as double) as edge_bps,
        {{ notional('gain', 'multiplier') }} as profit,
        {{ notional('(gain - fees)', 'multiplier') }} as net_profit
    from priced
)

select *
from ({{ alerts_from('triggers', [
    'volume', 'buy_venue', 'sell_venue', 'buy_price', 'sell_price', 'edge_bps', 'profit', 'net_profit',
]) }}) as alerts
