{{ config(by=['landed_hour']) }}

-- replayed = ok = quarantined, per commit and unit: what a replay says it landed against the rows
-- that it landed, and against the rows of quarantine that it answers, each answered once.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
    where {{ is_replay('unit') }}
),

landed as (
    {% set whole = is_whole() %}
    {% for dataset in datasets() %}
        {{ landed_counts(dataset, whole, replays=true) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

answered as (
    {% for dataset in datasets() %}
        {{ replayed_counts(dataset) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    c.dataset,
    {{ own_unit('c.unit') }} as unit,
    c.batch,
    c.version,
    c.landed_hour,
    c.first_position,
    c.next_position,
    c.consumed as replayed_rows,
    coalesce(l.ok_rows, 0) as ok_rows,
    coalesce(a.quarantined_rows, 0) as quarantined_rows,
    c.consumed - coalesce(l.ok_rows, 0) as difference,
    c.consumed - coalesce(a.quarantined_rows, 0) as quarantined_difference,
    coalesce(l.positions, 0) = c.consumed
    and coalesce(l.rejected_rows, 0) = 0
    and coalesce(l.lowest_position >= c.first_position, true)
    and coalesce(l.highest_position < c.next_position, true) as has_right_positions
from commits as c
left join landed as l
    on c.dataset = l.dataset and c.batch = l.batch and c.unit = l.unit
left join answered as a
    on c.dataset = a.dataset and c.batch = a.batch and {{ own_unit('c.unit') }} = a.unit
