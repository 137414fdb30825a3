{{ config(materialized='view') }}

with seen as (
    select venue, event_ts, 1 as trades, 0 as quotes from {{ ref('trades') }}
    union all
    select venue, event_ts, 0, 1 from {{ ref('quotes') }}
)

select
    {{ key_of(['venue']) }} as venue_sk,
    venue,
    min(event_ts) as first_seen,
    max(event_ts) as last_seen,
    cast(sum(trades) as bigint) as trades,
    cast(sum(quotes) as bigint) as quotes
from seen
where venue is not null
group by venue
