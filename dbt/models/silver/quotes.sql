{{ config(materialized='view') }}

-- What each quote says of either side: whether it speaks of the side at all, and the price and
-- size that it puts there, null where it withdraws the side.
select
    * exclude (is_duplicate, duplicate_by),
    {{ touches('BID') }} as touches_bid,
    {{ touches('OFFER') }} as touches_offer,
    {{ live_price('BID') }} as live_bid_price,
    {{ live_size('BID') }} as live_bid_size,
    {{ live_price('OFFER') }} as live_offer_price,
    {{ live_size('OFFER') }} as live_offer_size
from {{ ref('quotes_history') }}
where not is_duplicate
