{{ config(
    by=['instrument_id', 'event_hour'],
    published=false,
) }}

-- What each hour leaves behind of every dealer's quote: its first and its last state, and since
-- when the last price stood, as far as the hour knows.
with messages as not materialized (
    {{ quote_messages(touched(ref('quotes'))) }}
),

{{ in_lanes() }}

select
    {{ quoter() }},
    lane,
    calendar,
    session_date,
    min(at_ns) as first_ns,
    min_by(bid_price, at_ns) as first_bid_price,
    min_by(offer_price, at_ns) as first_offer_price,
    max(at_ns) as last_ns,
    {% for column in [
        'bid_price', 'bid_size', 'offer_price', 'offer_size', 'expires_ns', 'feed_kind', 'venue', 'quote_key',
    ] %}
        max({{ column }}) filter (where next_ns is null) as {{ column }},
    {% endfor %}
    max(bid_start_ns) as bid_start_ns,
    max(offer_start_ns) as offer_start_ns
from changes
group by all
