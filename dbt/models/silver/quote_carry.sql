{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.quote_hours': 'session'},
    published=false,
) }}

-- The quotes in force when an hour begins: the last of earlier hours of the session, with since
-- when they stand at their price.
with hours as (
    select * from {{ touched(ref('quote_hours')) }}
),

sides as (
    select
        h.*,
        s.side,
        case when s.side = 'BID' then h.first_bid_price else h.first_offer_price end as first_price,
        case when s.side = 'BID' then h.bid_price else h.offer_price end as price,
        case when s.side = 'BID' then h.bid_size else h.offer_size end as size,
        case when s.side = 'BID' then h.bid_start_ns else h.offer_start_ns end as start_ns
    from hours as h
    inner join (values ('BID', 2), ('OFFER', 1)) as s (side, other_lane) on h.lane <> s.other_lane
),

-- An hour goes on with a price if it began with that of the hour before, never left it and no
-- time passed without it.
linked as (
    select
        *,
        lead(event_hour) over in_order as next_hour,
        case
            when
                start_ns <> first_ns
                or (lag(price) over in_order is distinct from first_price)
                or lag(expires_ns) over in_order < first_ns
                then start_ns
        end as new_since_ns
    from sides
    window in_order as (
        partition by instrument_id, session_date, source, quoted_at, dealer_id, quote_type, side
        order by event_hour
    )
),

standing as (
    select
        *,
        max(new_since_ns) over (
            partition by instrument_id, session_date, source, quoted_at, dealer_id, quote_type, side
            order by event_hour rows unbounded preceding
        ) as since_ns,
        least(next_hour, {{ window_start('(expires_ns - 1)', 3600) }}) as last_hour
    from linked
)

select
    instrument_id,
    entered_hour as event_hour,
    calendar,
    session_date,
    source,
    quoted_at,
    venue,
    dealer_id,
    quote_type,
    feed_kind,
    quote_key,
    last_ns as quote_ts_ns,
    expires_ns,
    {% for side in ['bid', 'offer'] %}
        {{ or_zero("max(price) filter (where side = '" ~ side | upper ~ "')") }}
            as {{ side }}_price,
        max(size) filter (where side = '{{ side | upper }}') as {{ side }}_size,
        max(since_ns) filter (where side = '{{ side | upper }}') as {{ side }}_since_ns,
    {% endfor %}
    bool_or(side = 'BID') as touches_bid,
    bool_or(side = 'OFFER') as touches_offer
from (
    select *, {{ every('hour', 'event_hour + interval 1 hour', 'last_hour') }} as entered_hour
    from standing
    where last_hour > event_hour
) as entered
group by all
having max(price) > 0
