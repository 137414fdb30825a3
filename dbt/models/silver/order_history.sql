{{ config(by=['instrument_id', 'event_hour'], reach={'bronze.orders': 'session'}) }}

-- Every message that speaks of an order book, with the order as it is after it (macros/market/book.sql).
-- T and F change nothing, except where the feed says that its trades reduce the book.
with landed as not materialized (
    select o.*
    from {{ touched(ref('stg_orders'), dates='event_date') }} as o
    left join {{ ref('feeds') }} as f on o.source = f.source and f.dataset = 'orders'
    left join {{ ref('feeds') }} as d on d.source = '*' and d.dataset = 'orders'
    where
        o.msg_type in ('A', 'C', 'M', 'R')
        or o.msg_type = 'T' and coalesce(f.trade_reduces_book, d.trade_reduces_book, false)
),

contents as not materialized (
    {{ counted_contents('landed', [
        'source', 'venue', 'instrument_id', 'event_ts_ns', 'sequence', 'order_id', 'msg_type', 'side',
        canonical('price'), canonical('quantity'),
    ]) }}
),

keyed as not materialized (
    select
        *,
        {{ key_of([
            'dedup_rule', 'source', 'venue', 'instrument_id', 'session_date', 'msg_id',
            "case when dedup_rule = 'sequence' then concat_ws('/', sequence, event_ts_ns, order_id, msg_type, side, "
            ~ canonical('price') ~ ', ' ~ canonical('quantity') ~ ') end',
            "case when dedup_rule = 'position' then unit || '/' || position end",
        ]) }} as message_key
    from landed
    where dedup_rule <> 'content'
    union all
    select
        * exclude (fingerprint, occurrence),
        {{ key_of(["'content'", 'fingerprint', 'occurrence']) }} as message_key
    from contents
),

marked as (
    {{ marked_copies('keyed', 'message_key', ['k.recv_ts_ns', 'k.unit', 'k.position']) }}
),

cleared as (
    select
        *,
        sum(case when msg_type = 'R' then 1 else 0 end) over {{ book_window() }} as clearings
    from marked
),

stated as (
    select
        *,
        sum(case when msg_type in ('A', 'M') then 1 else 0 end)
            over {{ order_window(frame='rows between unbounded preceding and current row') }} as statement
    from cleared
),

reduced as (
    select
        *,
        case when statement > 0 and order_id is not null then first_value(side) over messages end
            as order_side,
        case when statement > 0 and order_id is not null then first_value(price) over messages end
            as order_price,
        case
            when statement = 0 or order_id is null then 0
            else greatest(first_value(quantity) over messages - sum(
                case when msg_type in ('C', 'T') then quantity else 0 end
            ) over messages, 0)
        end as size_after
    from stated
    window messages as {{ order_window(['statement'], 'rows between unbounded preceding and current row') }}
),

followed as (
    select
        *,
        coalesce(lag(size_after) over messages, 0) as size_before,
        lag(order_price) over messages as price_before,
        lead(event_ts_ns) over messages as next_ns
    from reduced
    window messages as {{ order_window() }}
),

clearings as (
    select distinct
        source,
        venue,
        instrument_id,
        session_date,
        clearings - 1 as ended,
        event_ts_ns as cleared_ns
    from cleared
    where msg_type = 'R' and not is_duplicate
)

select
    m.message_key,
    m.msg_id,
    m.instrument_id,
    m.source,
    m.venue,
    m.order_id,
    m.msg_type,
    m.price,
    m.quantity,
    m.side,
    m.sequence,
    m.event_ts_ns,
    m.event_ts,
    m.event_hour,
    m.calendar,
    m.session_date,
    m.tie_order,
    m.unit,
    m.position,
    m.is_duplicate,
    m.order_side,
    m.order_price,
    cast(m.size_before as decimal(28, 8)) as size_before,
    cast(case when m.is_duplicate then 0 else m.size_after end as decimal(28, 8)) as size_after,
    -- until when an order that is live stays as it is after the message
    case when m.size_after > 0 and not m.is_duplicate then least(
        m.next_ns,
        c.cleared_ns,
        case when m.event_ts_ns < s.extended_close_ns then s.extended_close_ns else s.session_end_ns end
    ) end as until_ns,
    -- the queue is joined anew by an order that is added, moves or grows
    m.size_after > 0 and not m.is_duplicate and m.msg_type in ('A', 'M') and (
        m.msg_type = 'A' or m.size_before = 0 or m.price is distinct from m.price_before
        or m.quantity > m.size_before
    ) as joins_queue,
    {{ order_finding() }} as finding
from followed as m
left join {{ ref('sessions') }} as s on m.calendar = s.calendar and m.session_date = s.session_date
left join clearings as c
    on m.source = c.source
    and m.instrument_id = c.instrument_id
    and m.session_date = c.session_date
    and m.venue is not distinct from c.venue
    and m.clearings = c.ended
