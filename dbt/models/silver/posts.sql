{{ config(materialized='view') }}

select * exclude (is_duplicate)
from {{ ref('posts_history') }}
where not is_duplicate
