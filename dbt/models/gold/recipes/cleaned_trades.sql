{{ config(materialized='view', enabled=active_recipes('trades') | length > 0) }}

select * exclude (removed_by)
from {{ ref('recipe_trades') }}
where removed_by is null
