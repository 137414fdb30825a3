{{ config(materialized='view') }}

select *
from {{ ref('trades_history') }}
where is_duplicate
