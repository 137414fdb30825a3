{{ config(by=['landed_hour']) }}

-- consumed = ok + rejected, per commit and unit: what the ledger says against rows counted.
-- Replays consume nothing: they have an account of their own.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
    where not {{ is_replay('unit') }}
),

counted as (
    {% set whole = is_whole() %}
    {% for dataset in datasets() %}
        {{ landed_counts(dataset, whole, replays=false) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    c.dataset,
    c.unit,
    c.batch,
    c.version,
    c.landed_hour,
    c.first_position,
    c.next_position,
    c.consumed,
    coalesce(r.ok_rows, 0) as ok_rows,
    coalesce(r.rejected_rows, 0) as rejected_rows,
    c.consumed - coalesce(r.ok_rows, 0) - coalesce(r.rejected_rows, 0) as difference,
    coalesce(r.positions, 0) = c.consumed
    and coalesce(r.lowest_position >= c.first_position, true)
    and coalesce(r.highest_position < c.next_position, true) as has_right_positions
from commits as c
left join counted as r
    on c.dataset = r.dataset and c.batch = r.batch and c.unit = r.unit
