{{ config(materialized='view') }}

select
    * exclude (is_duplicate, duplicate_by),
    0 as revision,
    false as is_outlier
from {{ ref('trades_history') }}
where not is_duplicate
