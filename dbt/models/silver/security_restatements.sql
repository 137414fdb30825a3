{{ config(by=['instrument_id'], reach={'bronze.securities': 'key'}) }}

with landed as not materialized (
    select * from {{ touched(ref('stg_securities')) }}
),

judged as (
    {{ judged_statements('landed') }}
)

select
    l.instrument_id,
    {% for name in tracked_attributes() %}
        l.{{ name }},
    {% endfor %}
    l.source,
    l.as_of_ns,
    l.as_of,
    {{ timestamp_of('l.recv_ts_ns') }} as recorded_at,
    l.event_hour,
    l.unit,
    l.position,
    l.batch,
    j.outcome
from landed as l
inner join judged as j on l.unit = j.unit and l.position = j.position
where j.outcome <> 'version'
