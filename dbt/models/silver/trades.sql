{{ config(materialized='view') }}

select
    t.* exclude (is_duplicate, duplicate_by, is_conflict, state, reopened),  -- noqa: RF02
    o.trade_key is not null as is_outlier
from {{ ref('trades_history') }} as t
left join {{ ref('trade_outliers') }} as o on t.trade_key = o.trade_key and o.is_outlier
where t.state = 'current'
