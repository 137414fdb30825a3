{{ config(by=['event_hour']) }}

-- A dealer's session over all it quoted.
with activity as (
    select * from {{ touched(ref('dealer_activity')) }}
),

sums as (
    select
        dealer_id,
        event_hour,
        calendar,
        session_date,
        session_scope,
        cast(count(*) filter (where updates > 0) as bigint) as instruments_quoted,
        max(window_ns) as window_ns,
        cast(sum(window_ns) as bigint) as quoted_ns,
        cast(sum(valid_ns) as bigint) as valid_ns,
        {{ dealer_sums() }}
    from activity
    group by 1, 2, 3, 4, 5
)

select
    dealer_id,
    event_hour,
    calendar,
    session_date,
    session_scope,
    instruments_quoted,
    updates,
    price_changing_updates,
    {{ dealer_ratios('quoted_ns') }},
    window_ns,
    quoted_ns,
    valid_ns
from sums
