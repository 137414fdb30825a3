{{ config(
    by=['instrument_id', 'event_hour'],
    published=false,
) }}

-- The life of each side of every dealer's quote (analytics.md 9), cut at full hours: from the
-- quote until the dealer replaces or withdraws it, its time to live or the session ends.
with messages as not materialized (
    {{ quote_messages(touched(ref('quotes'))) }}
    union all by name
    select *, {{ ns_of('event_hour') }} as at_ns, 0 as tie_order
    from {{ touched(ref('quote_carry')) }}
),

{{ in_lanes() }},

standing as (
    select
        *,
        max(bid_start_ns) over so_far as bid_stands_ns,
        max(offer_start_ns) over so_far as offer_stands_ns,
        least(expires_ns, next_ns, {{ ns_of('event_hour') }} + 3600000000000) as to_ns
    from changes
    window so_far as (
        partition by lane, {{ quoter() }} order by at_ns, tie_order rows unbounded preceding
    )
),

lives as (
    select
        s.instrument_id,
        s.event_hour,
        s.calendar,
        s.session_date,
        s.source,
        s.quoted_at,
        s.venue,
        s.dealer_id,
        s.quote_type,
        d.side,
        case when d.side = 'BID' then s.bid_price else s.offer_price end as price,
        case when d.side = 'BID' then s.bid_size else s.offer_size end as size,
        s.at_ns as from_ns,
        s.to_ns,
        s.quote_ts_ns,
        case when d.side = 'BID' then s.bid_stands_ns else s.offer_stands_ns end as since_ns,
        s.feed_kind,
        {{ own_crossed() }} is false as is_valid,
        coalesce(
            s.to_ns = s.next_ns and case when d.side = 'BID' then s.is_bid_next else s.is_offer_next end,
            false
        ) as is_followed,
        s.quote_key,
        s.lane
    from standing as s
    cross join (values ('BID'), ('OFFER')) as d (side)
    where
        case when d.side = 'BID' then s.bid_price else s.offer_price end > 0
        and s.at_ns < s.to_ns
)

{{ validated_lives() }}
