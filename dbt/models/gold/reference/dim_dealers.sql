{{ config(materialized='view') }}

select
    {{ key_of(['dealer_id']) }} as dealer_sk,
    dealer_id,
    min(event_ts) as first_seen,
    max(event_ts) as last_seen,
    count(*) as quotes
from {{ ref('quotes') }}
where dealer_id is not null
group by dealer_id
