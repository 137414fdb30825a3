{{ config(materialized='view') }}

select * exclude (is_duplicate, duplicate_by)
from {{ ref('trades_history') }}
where not is_duplicate
