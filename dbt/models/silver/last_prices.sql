{{ config(materialized='view') }}

select * exclude (is_duplicate)
from {{ ref('last_prices_history') }}
where not is_duplicate
