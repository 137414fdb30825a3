{{ config(by=['instrument_id', 'event_hour']) }}

-- Book messages that break an invariant of the order book (analytics.md 23.1). They stay in the
-- history and did what they could; here they are named. An order crosses that stands, at the end of
-- its nanosecond, at or beyond the best price of the other side.
with history as (
    select * from {{ touched(ref('order_history')) }}
),

-- States and the orders that enter, in one order: an order meets the state that holds it.
met as (
    select
        message_key,
        order_side,
        order_price,
        {{ last_known('best_bid') }} over book as best_bid,
        {{ last_known('best_offer') }} over book as best_offer
    from (
        select
            instrument_id,
            source,
            venue,
            event_hour,
            valid_from_ns as ts,
            null as message_key,
            null as order_side,
            null as order_price,
            coalesce(bid_price_1, 0) as best_bid,
            coalesce(offer_price_1, 0) as best_offer
        from {{ touched(ref('book_depth_states')) }}
        union all
        select
            instrument_id, source, venue, event_hour, event_ts_ns, message_key, order_side, order_price,
            null, null
        from history
        where msg_type in ('A', 'M') and size_after > 0 and until_ns > event_ts_ns
    ) as u
    window book as (
        partition by instrument_id, source, venue, event_hour
        order by ts, message_key nulls first
        rows between unbounded preceding and current row
    )
),

crossing as (
    select
        message_key,
        case order_side when 'B' then best_offer else best_bid end as best_opposite
    from met
    where
        (order_side = 'B' and best_offer > 0 and order_price >= best_offer)
        or (order_side = 'S' and best_bid > 0 and order_price <= best_bid)
),

found as (
    select *, null as best_opposite
    from history
    where finding is not null
    union all
    select h.* replace ('CROSSING_ADD' as finding), c.best_opposite
    from history as h
    inner join crossing as c on h.message_key = c.message_key
    where not h.is_duplicate
)

select
    instrument_id,
    event_hour,
    calendar,
    session_date,
    source,
    venue,
    finding,
    message_key,
    msg_id,
    order_id,
    msg_type,
    event_ts_ns,
    event_ts,
    price,
    quantity,
    size_before,
    cast(best_opposite as decimal(18, 9)) as best_opposite,
    unit,
    position
from found
