{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.dealer_activity_15m': 'hour_and_next', 'gold.liquidity_1m': 'hour_and_next'},
) }}

-- The hour that ends with each quarter; the quarter names the part.
with quarters as (
    select *, {{ ns_of('window_start') }} as quarter_ns
    from {{ touched(ref('dealer_activity_15m'), hours_back=1) }}
),

own as (
    select
        instrument_id,
        dealer_id,
        event_hour,
        calendar,
        session_date,
        session_type,
        quarter_ns,
        {{ dealer_sums('last_hour') }}
    from quarters
    window last_hour as (
        partition by instrument_id, dealer_id order by quarter_ns
        range between 2700000000000 preceding and current row
    )
),

markets as (
    select instrument_id, quarter_ns, sum(valid_ns) over last_hour as valid_ns
    from (
        select
            instrument_id,
            {{ quarter_of(ns_of('window_start')) }} as quarter_ns,
            sum(valid_ns) as valid_ns
        from {{ touched(ref('liquidity_1m'), hours_back=1) }}
        group by 1, 2
    )
    window last_hour as (
        partition by instrument_id order by quarter_ns
        range between 2700000000000 preceding and current row
    )
),

in_scope as (
    select distinct instrument_id, event_hour from {{ touched(ref('dealer_activity_15m')) }}
),

joined as (
    select o.*, cast(m.valid_ns as bigint) as valid_ns, 3600000000000 as window_ns
    from own as o
    inner join in_scope as s on o.instrument_id = s.instrument_id and o.event_hour = s.event_hour
    left join markets as m on o.instrument_id = m.instrument_id and o.quarter_ns = m.quarter_ns
)

select
    instrument_id,
    dealer_id,
    {{ timestamp_of('(quarter_ns - 2700000000000)') }} as window_start,
    {{ timestamp_of('(quarter_ns + 900000000000)') }} as window_end,
    event_hour,
    calendar,
    session_date,
    session_type,
    updates,
    price_changing_updates,
    {{ dealer_ratios() }},
    valid_ns
from joined
