{{ config(materialized='view') }}

-- How new each dataset is, at the pin (features.md C6). Ages are the reader's to work out: no clock
-- is read here.
with {{ watermarks() }}

select
    d.dataset,
    {{ timestamp_of('max(d.newest_ns)') }} as newest_event,
    {{ timestamp_of('any_value(w.watermark_ns)') }} as watermark,
    max(d.landed_at) as newest_landing,
    cast(sum(d.ok_rows) as bigint) as ok_rows,
    cast(sum(d.rejected_rows) as bigint) as rejected_rows
from {{ ref('landed_days') }} as d
left join watermarks as w on d.dataset = w.dataset
group by d.dataset
