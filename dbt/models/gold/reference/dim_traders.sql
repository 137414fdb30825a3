{{ config(materialized='view') }}

select
    {{ key_of(['trader_id']) }} as trader_sk,
    trader_id,
    min(event_ts) as first_seen,
    max(event_ts) as last_seen,
    count(*) as trades
from {{ ref('trades') }}
where trader_id is not null
group by trader_id
