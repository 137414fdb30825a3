{{ config(materialized='view') }}

-- Copies that say something else than the event they have the identity of (analytics.md 3).
select
    t.*,
    f.price as kept_price,
    f.quantity as kept_quantity,
    f.side as kept_side,
    f.event_ts_ns as kept_event_ts_ns,
    f.conditions as kept_conditions
from {{ ref('trades_history') }} as t
inner join {{ ref('trades_history') }} as f on t.trade_key = f.trade_key and not f.is_duplicate
where t.is_conflict
