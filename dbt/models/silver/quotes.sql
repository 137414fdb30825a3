{{ config(materialized='view') }}

select * exclude (is_duplicate, duplicate_by)
from {{ ref('quotes_history') }}
where not is_duplicate
