{{ config(materialized='view') }}

select * exclude (is_duplicate)
from {{ ref('positions_history') }}
where not is_duplicate
