{{ config(
    by=['event_hour'],
    kept_to_range=true,
    reach={'silver.security_versions': 'none', 'silver.security_restatements': 'none'},
) }}

-- ok = silver + declared duplicates + lifecycle + filtered, per unit and hour of event time.
-- Lifecycle are trades that a correction or cancel replaced, and the messages that did it or wait
-- for their original; filtered are order messages that are no trades.
with bronze as (
    select
        'trades' as dataset, unit, event_hour, count(*) as ok_rows, sum(quantity) as ok_quantity,
        0 as filtered_rows, 0 as filtered_quantity
    from {{ touched(ref('stg_trades'), dates='event_date') }}
    where dataset = 'trades'
    group by all
    union all
    select
        'orders', unit, event_hour, count(*), sum(quantity),
        count(*) filter (where msg_type <> 'T'),
        coalesce(sum(quantity) filter (where msg_type <> 'T'), 0)
    from {{ touched(ref('stg_orders'), dates='event_date') }}
    group by all
    union all
    select
        dataset, unit, event_hour, count(*),
        sum(coalesce(bid_size, 0) + coalesce(offer_size, 0) + coalesce(size, 0)), 0, 0
    from {{ touched(ref('stg_quotes'), dates='event_date') }}
    group by all
    union all
    select 'securities', unit, event_hour, count(*), 0, 0, 0
    from {{ touched(ref('stg_securities')) }}
    group by all
),

silver as (
    select
        dataset, unit, event_hour, is_duplicate,
        state not in ('current', 'duplicate') as is_lifecycle, quantity
    from {{ touched(ref('trades_history')) }}
    union all
    select
        dataset, unit, event_hour, is_duplicate, false,
        coalesce(bid_size, 0) + coalesce(offer_size, 0) + coalesce(size, 0)
    from {{ touched(ref('quotes_history')) }}
    union all
    select 'securities', unit, event_hour, false, false, 0
    from {{ touched(ref('securities_history')) }}
),

kept as (
    select
        dataset,
        unit,
        event_hour,
        count(*) filter (where not is_duplicate and not is_lifecycle) as silver_rows,
        count(*) filter (where is_duplicate) as duplicate_rows,
        count(*) filter (where is_lifecycle) as lifecycle_rows,
        coalesce(sum(quantity) filter (where not is_duplicate and not is_lifecycle), 0) as silver_quantity,
        coalesce(sum(quantity) filter (where is_lifecycle), 0) as lifecycle_quantity,
        coalesce(sum(quantity) filter (where is_duplicate), 0) as duplicate_quantity
    from silver
    group by all
)

select
    coalesce(b.dataset, k.dataset) as dataset,
    coalesce(b.unit, k.unit) as unit,
    coalesce(b.event_hour, k.event_hour) as event_hour,
    coalesce(b.ok_rows, 0)::bigint as ok_rows,
    coalesce(k.silver_rows, 0)::bigint as silver_rows,
    coalesce(k.duplicate_rows, 0)::bigint as duplicate_rows,
    coalesce(k.lifecycle_rows, 0)::bigint as lifecycle_rows,
    coalesce(b.filtered_rows, 0)::bigint as filtered_rows,
    coalesce(b.ok_quantity, 0)::decimal(38, 8) as ok_quantity,
    coalesce(k.silver_quantity, 0)::decimal(38, 8) as silver_quantity,
    coalesce(k.duplicate_quantity, 0)::decimal(38, 8) as duplicate_quantity,
    coalesce(k.lifecycle_quantity, 0)::decimal(38, 8) as lifecycle_quantity,
    coalesce(b.filtered_quantity, 0)::decimal(38, 8) as filtered_quantity,
    (
        coalesce(b.ok_rows, 0) - coalesce(k.silver_rows, 0) - coalesce(k.duplicate_rows, 0)
        - coalesce(k.lifecycle_rows, 0) - coalesce(b.filtered_rows, 0)
    )::bigint as difference,
    (
        coalesce(b.ok_quantity, 0) - coalesce(k.silver_quantity, 0)
        - coalesce(k.duplicate_quantity, 0) - coalesce(k.lifecycle_quantity, 0)
        - coalesce(b.filtered_quantity, 0)
    )::decimal(38, 8) as quantity_difference
from bronze as b
full join kept as k
    on b.dataset = k.dataset and b.unit = k.unit and b.event_hour = k.event_hour
