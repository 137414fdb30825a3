{{ config(by=['instrument_id', 'event_hour'], reach={'gold.candles_1d': 'days:45'}) }}

-- The close is the official one; a closing cross prints after the session and may pass its range.
with bars as (
    select
        instrument_id,
        event_hour,
        {{ calendar_of() }} as calendar,
        session_date,
        cast(open as double) as o,
        cast(greatest(high, coalesce(official_close, close)) as double) as h,
        cast(least(low, coalesce(official_close, close)) as double) as l,
        cast(coalesce(official_close, close) as double) as c
    from {{ touched(ref('candles_1d'), hours_back=1080) }}
    where venue = 'ALL' and session_scope = 'regular' and open > 0 and low > 0
),

logs as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        {{ summand('ln(h / l)') }} as high_low,
        {{ summand('ln(c / o)') }} as close_open,
        {{ summand('ln(h / c) * ln(h / o) + ln(l / c) * ln(l / o)') }} as rogers_satchell,
        {{ summand('ln(o / lag(c) over by_day)') }} as overnight,
        {{ summand('ln(c / lag(c) over by_day)') }} as close_close,
        lag(session_date, 20) over by_day as window_start_date
    from bars
    window by_day as (partition by instrument_id order by session_date)
),

-- Twenty sessions and the close before them have to lie within 44 days: what is older is not
-- looked at when the row is made again.
windows as (
    select
        *,
        session_date - window_start_date <= 44 as is_full,
        sum(rogers_satchell) over of_twenty as rs_sum,
        sum(overnight) over of_twenty as overnight_sum,
        sum({{ square('overnight') }}) over of_twenty as overnight_squares,
        sum(close_open) over of_twenty as close_open_sum,
        sum({{ square('close_open') }}) over of_twenty as close_open_squares,
        sum(close_close) over of_twenty as close_close_sum,
        sum({{ square('close_close') }}) over of_twenty as close_close_squares
    from logs
    window of_twenty as (
        partition by instrument_id order by session_date rows between 19 preceding and current row
    )
),

variances as (
    select
        *,
        cast(rs_sum as double) / 20 as rs_var,
        {{ sample_variance('overnight_sum', 'overnight_squares', 20) }} as overnight_var,
        {{ sample_variance('close_open_sum', 'close_open_squares', 20) }} as close_open_var,
        {{ sample_variance('close_close_sum', 'close_close_squares', 20) }} as close_close_var
    from windows
)

select
    instrument_id,
    event_hour,
    calendar,
    session_date,
    power(cast(high_low as double), 2) / (4 * ln(2)) as parkinson,
    0.5 * power(cast(high_low as double), 2) - (2 * ln(2) - 1) * power(cast(close_open as double), 2)
        as garman_klass,
    cast(rogers_satchell as double) as rogers_satchell,
    case
        when is_full
            then {{ yang_zhang('overnight_var', 'close_open_var', 'rs_var', 20) }}
    end as yang_zhang_20,
    case when is_full then close_close_var end as close_to_close_20,
    case
        when is_full
            then {{ annualised(yang_zhang('overnight_var', 'close_open_var', 'rs_var', 20)) }}
    end as yang_zhang_volatility_20
from {{ touched('variances') }}
