{{ config(by=['event_hour'], kept_to_range=true) }}

-- ok = silver + declared duplicates + filtered, per unit and hour, of what only analysts look at: last
-- prices, position snapshots, posts and the order book. Filtered are order messages that leave the
-- book as it is.
with bronze as (
    select
        'last_prices' as silver_table, 'market_data' as dataset, unit, event_hour,
        volume as quantity, false as is_filtered
    from {{ touched(ref('stg_market_data'), dates='event_date') }}
    union all
    select 'position_snapshots', 'positions', unit, event_hour, position_size, false
    from {{ touched(ref('stg_positions'), dates='event_date') }}
    union all
    select 'posts', 'posts', unit, event_hour, 0, false
    from {{ touched(ref('stg_posts'), dates='event_date') }}
    union all
    select
        'order_book', 'orders', o.unit, o.event_hour, o.quantity,
        o.msg_type not in ('A', 'C', 'M', 'R')
        and not (o.msg_type = 'T' and coalesce(f.trade_reduces_book, d.trade_reduces_book, false))
    from {{ touched(ref('stg_orders'), dates='event_date') }} as o
    left join {{ ref('feeds') }} as f on o.source = f.source and f.dataset = 'orders'
    left join {{ ref('feeds') }} as d on d.source = '*' and d.dataset = 'orders'
),

landed as (
    select
        silver_table,
        dataset,
        unit,
        event_hour,
        count(*) as ok_rows,
        count(*) filter (where is_filtered) as filtered_rows,
        coalesce(sum(quantity), 0) as ok_quantity,
        coalesce(sum(quantity) filter (where is_filtered), 0) as filtered_quantity
    from bronze
    group by all
),

silver as (
    select 'last_prices' as silver_table, unit, event_hour, volume as quantity, is_duplicate
    from {{ touched(ref('last_prices_history')) }}
    union all
    select 'position_snapshots', unit, event_hour, position_size, is_duplicate
    from {{ touched(ref('positions_history')) }}
    union all
    select 'posts', unit, event_hour, 0, is_duplicate
    from {{ touched(ref('posts_history')) }}
    union all
    select 'order_book', unit, event_hour, quantity, is_duplicate
    from {{ touched(ref('order_history')) }}
),

kept as (
    select
        silver_table,
        unit,
        event_hour,
        count(*) filter (where not is_duplicate) as silver_rows,
        count(*) filter (where is_duplicate) as duplicate_rows,
        coalesce(sum(quantity) filter (where not is_duplicate), 0) as silver_quantity,
        coalesce(sum(quantity) filter (where is_duplicate), 0) as duplicate_quantity
    from silver
    group by all
)

select
    coalesce(b.silver_table, k.silver_table) as silver_table,
    b.dataset,
    coalesce(b.unit, k.unit) as unit,
    coalesce(b.event_hour, k.event_hour) as event_hour,
    cast(coalesce(b.ok_rows, 0) as bigint) as ok_rows,
    cast(coalesce(k.silver_rows, 0) as bigint) as silver_rows,
    cast(coalesce(k.duplicate_rows, 0) as bigint) as duplicate_rows,
    cast(coalesce(b.filtered_rows, 0) as bigint) as filtered_rows,
    cast(coalesce(b.ok_quantity, 0) as decimal(38, 8)) as ok_quantity,
    cast(coalesce(k.silver_quantity, 0) as decimal(38, 8)) as silver_quantity,
    cast(coalesce(k.duplicate_quantity, 0) as decimal(38, 8)) as duplicate_quantity,
    cast(coalesce(b.filtered_quantity, 0) as decimal(38, 8)) as filtered_quantity,
    cast(
        coalesce(b.ok_rows, 0) - coalesce(k.silver_rows, 0)
        - coalesce(k.duplicate_rows, 0) - coalesce(b.filtered_rows, 0) as bigint
    ) as difference,
    cast(
        coalesce(b.ok_quantity, 0) - coalesce(k.silver_quantity, 0)
        - coalesce(k.duplicate_quantity, 0) - coalesce(b.filtered_quantity, 0) as decimal(38, 8)
    ) as quantity_difference
from landed as b
full join kept as k
    on b.silver_table = k.silver_table and b.unit = k.unit and b.event_hour = k.event_hour
