{{ config(
    by=['landed_hour'],
    reach={'ledger.commits': 'hour_and_next'},
    published=false,
) }}

-- How far each unit had come by the end of a landed hour: what the hours after it start from.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
    where dataset in ('trades', 'orders')
),

segments as (
    {{ landed_segments('commits') }}
)

select
    landed_hour,
    dataset,
    stream,
    unit,
    max(max_event_ts_ns) as max_event_ts_ns,
    max(last_arrival_ns) as last_arrival_ns
from segments
group by landed_hour, dataset, stream, unit
