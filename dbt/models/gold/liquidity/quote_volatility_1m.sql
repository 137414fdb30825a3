{{ config(by=['instrument_id', 'event_hour'], reach={'gold.best_quotes': 'hour_and_next'}) }}

-- The mid in force at each full second, without a row per second: a valid state covers the seconds
-- from its start on, and after its end at most five more, until the next one begins.
with states as (
    select
        instrument_id,
        best_bid + best_offer as twice_mid,
        {{ step_of('valid_from_ns + 999999999', 1000000000) }} as first_second,
        {{ step_of('valid_to_ns - 1', 1000000000) }} as last_second,
        {{ step_of(
            'least(valid_to_ns + 5000000000, lead(valid_from_ns, 1, valid_to_ns + 5000000001) over ordered - 1)',
            1000000000
        ) }} as known_until
    from {{ touched(ref('best_quotes'), hours_back=1) }}
    where is_valid
    window ordered as (partition by instrument_id order by valid_from_ns)
),

-- A return needs a mid at the second before.
steps as (
    select
        *,
        case
            when lag(known_until) over ordered = first_second - 1
                then 1e4 * {{ log_return('twice_mid', 'lag(twice_mid) over ordered') }}
        end as return_bps
    from states
    where first_second <= known_until
    window ordered as (partition by instrument_id order by first_second)
),

variances as (
    select
        instrument_id,
        {{ step_of('first_second', 60) }} as minute,
        sum(cast(return_bps * return_bps as decimal(38, 18))) as variance
    from steps
    group by 1, 2
),

seconds as (
    select
        instrument_id,
        minute,
        sum(least(last_second, minute * 60 + 59) - greatest(first_second, minute * 60) + 1) as valid_seconds
    from (
        select
            *,
            {{ numbers_within(step_of('first_second', 60), step_of('last_second', 60) ~ ' + 1') }} as minute
        from steps
        where first_second <= last_second
    )
    group by 1, 2
),

-- The minutes in scope, with what their states carry.
minutes as (
    select *, {{ step_of(ns_of('window_start'), 60000000000) }} as minute
    from {{ touched(ref('liquidity_1m')) }}
)

select
    m.instrument_id,
    m.window_start,
    m.event_hour,
    m.calendar,
    m.session_date,
    m.session_type,
    case when s.valid_seconds >= 30 then sqrt(cast(coalesce(v.variance, 0) as double)) end
        as quote_volatility_bps,
    20000 * cast(case when s.valid_seconds >= 30 then m.highest_mid - m.lowest_mid end as double)
    / cast(m.highest_mid + m.lowest_mid as double) as mid_range_bps,
    m.mid_changes,
    cast(coalesce(s.valid_seconds, 0) as bigint) as valid_seconds
from minutes as m
left join seconds as s on m.instrument_id = s.instrument_id and m.minute = s.minute
left join variances as v on m.instrument_id = v.instrument_id and m.minute = v.minute
