{{ config(
    by=['landed_hour'],
    reach={'ledger.commits': 'hour_and_next', 'silver.late_trades_units': 'hour_and_next'},
    published=false,
) }}

-- The furthest that the slowest unit of a stream had come within a landed hour.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
    where dataset in ('trades', 'orders')
),

segments as (
    {{ landed_segments('commits') }}
),

carry as (
    {{ units_before('segments') }}
),

states as (
    {{ segments_with_state('segments', 'carry') }}
)

select
    s.landed_hour,
    s.dataset,
    s.stream,
    max({{ reached_after('s.max_event_ts_ns', 't.own_before_ns', 't.others_ns') }}) as watermark_ns
from segments as s
inner join states as t
    on s.dataset = t.dataset and s.stream = t.stream and s.version = t.version and s.unit = t.unit
group by s.landed_hour, s.dataset, s.stream
