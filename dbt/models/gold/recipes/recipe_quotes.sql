{{ config(
    enabled=active_recipes('quotes') | length > 0,
    by=['instrument_id', 'event_hour'],
    reach={'silver.quotes_history': 'session'},
) }}

-- Every quote as the state of its stream's two sides, with what each recipe did to it
-- (analytics.md 25). A stream is a dealer at a venue, or the whole of a consolidated feed.
with quotes as (
    select
        q.quote_key, q.instrument_id, q.event_hour, q.session_date, q.source, q.event_ts_ns, q.tie_order,
        {{ session_type('q.event_ts_ns') }} as session_type,
        case when f.feed_kind = 'consolidated' then q.source else coalesce(q.venue, q.dealer_id) end as venue,
        case when f.feed_kind = 'consolidated' then '' else q.dealer_id end as dealer_id,
        coalesce(f.has_size, true) as has_size,
        q.side is null or q.side = 'BID' as touches_bid,
        q.side is null or q.side = 'OFFER' as touches_offer,
        case when q.side is null then q.bid_price when q.action = 'UPDATE' then q.price end as bid_price,
        case when q.side is null then q.bid_size when q.action = 'UPDATE' then q.size end as put_bid_size,
        case when q.side is null then q.offer_price when q.action = 'UPDATE' then q.price end as offer_price,
        case when q.side is null then q.offer_size when q.action = 'UPDATE' then q.size end as put_offer_size
    from {{ touched(ref('quotes')) }} as q
    left join {{ ref('sessions') }} as s on q.calendar = s.calendar and q.session_date = s.session_date
    left join {{ ref('feeds') }} as f on q.source = f.source and f.dataset = 'quotes'
    where q.quote_type = 'F'
),

states as (
    select
        * exclude (
            has_size, bid_price, put_bid_size, offer_price, put_offer_size, touches_bid, touches_offer
        ),
        event_ts_ns as clean_ts_ns,
        cast(1 as bigint) as merged_rows,
        cast({{ carried(
            'case when not has_size or put_bid_size > 0 then bid_price end', 'touches_bid', 'stream'
        ) }} as decimal(28, 10)) as bid,
        cast({{ carried(
            'case when not has_size or put_offer_size > 0 then offer_price end', 'touches_offer', 'stream'
        ) }} as decimal(28, 10)) as offer,
        cast({{ carried('put_bid_size', 'touches_bid', 'stream') }} as decimal(28, 8)) as bid_size,
        cast({{ carried('put_offer_size', 'touches_offer', 'stream') }} as decimal(28, 8)) as offer_size
    from quotes
    window stream as (
        partition by instrument_id, session_date, source, venue, dealer_id
        order by event_ts_ns, tie_order
        rows between unbounded preceding and current row
    )
),

{% for recipe in active_recipes('quotes') %}
    {{ recipe }}_input as (
        select '{{ recipe }}' as recipe, {{ recipe_versions()[recipe] }} as recipe_version, * from states
    ),

    {{ recipe }} as (
        select * from {{ recipe_chain(recipe ~ '_input', quote_recipe_steps(recipe)) }}
    ),
{% endfor %}

cleaned as (
    {% for recipe in active_recipes('quotes') %}
        select * from {{ recipe }} {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    recipe, cast(recipe_version as integer) as recipe_version, quote_key, instrument_id, source, venue,
    dealer_id, event_hour, session_date, event_ts_ns, clean_ts_ns, tie_order, bid, offer, bid_size,
    offer_size, merged_rows, removed_by
from cleaned
