{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.order_history': 'session'},
) }}

-- Live orders: a row for as long as price and size of an order stay the same, cut at hour bounds.
with states as (
    select
        *,
        max(case when joins_queue then event_ts_ns end) over (
            partition by source, venue, instrument_id, session_date, order_id
            order by event_ts_ns, tie_order
            rows between unbounded preceding and current row
        ) as queued_ns
    from {{ touched(ref('order_history')) }}
    where not is_duplicate and order_id is not null
),

hours as (
    select
        s.*,
        h.hour * 3600000000000 as hour_ns
    from states as s
    cross join lateral {{ numbers_within(
        's.event_ts_ns // 3600000000000', '(s.until_ns - 1) // 3600000000000 + 1'
    ) }} as h (hour)
    where s.size_after > 0 and s.until_ns > s.event_ts_ns
)

select
    instrument_id,
    {{ timestamp_of('hour_ns') }} as event_hour,
    calendar,
    session_date,
    source,
    venue,
    order_id,
    order_side as side,
    order_price as price,
    size_after as size,
    cast(greatest(event_ts_ns, hour_ns) as bigint) as from_ns,
    cast(least(until_ns, hour_ns + 3600000000000) as bigint) as to_ns,
    event_ts_ns as stated_ns,
    queued_ns,
    message_key
from hours
