{{ config(materialized='view') }}

{% set shown = ['instrument_id'] + tracked_attributes() + [
    'source', 'as_of_ns', 'as_of', 'recorded_at', 'event_hour', 'unit', 'position', 'batch',
] %}

select *, {{ change_hash() }} as change_hash
from (
    select {{ shown | join(', ') }}, 'version' as outcome
    from {{ ref('security_versions') }}
    union all
    select {{ shown | join(', ') }}, outcome
    from {{ ref('security_restatements') }}
)
