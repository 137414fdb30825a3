{{ config(materialized='view') }}

-- The hash is computed when it is asked for: stored, it would be half of the table.
select *, {{ change_hash() }} as change_hash
from {{ ref('security_versions') }}
