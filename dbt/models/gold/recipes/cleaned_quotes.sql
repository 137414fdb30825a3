{{ config(materialized='view', enabled=active_recipes('quotes') | length > 0) }}

select * exclude (removed_by)
from {{ ref('recipe_quotes') }}
where removed_by is null
