{{ config(by=['instrument_id', 'event_hour']) }}

-- The best five prices of each side of the order book of single orders, one wide row per state.
with lives as (
    select
        instrument_id,
        source,
        venue,
        event_hour,
        calendar,
        session_date,
        case side when 'B' then 'BID' else 'OFFER' end as side,
        price,
        size,
        from_ns,
        to_ns
    from {{ touched(ref('order_book')) }}
),

{{ depth_by_rank(['instrument_id', 'source', 'venue']) }},

{{ depth_states('sized', ['instrument_id', 'source', 'venue'], 'orders') }}
