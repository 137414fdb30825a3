{{ config(materialized='view') }}

select *
from {{ ref('quotes_history') }}
where is_duplicate
