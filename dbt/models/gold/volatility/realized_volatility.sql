{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'session', 'silver.trade_outliers': 'session'},
) }}

with prints as (
    select
        *,
        {{ window_start('event_ts_ns', 60) }} as minute_start,
        {{ trade_filter() }} as is_used
    from {{ touched(ref('trades')) }}
    where session_type = 'regular' and not is_outlier and ({{ trade_filter() }} or is_price_eligible)
),

-- The opening cross is the first point of the grid, though crosses are no points of it otherwise.
minutes as (
    select
        instrument_id,
        calendar,
        session_date,
        minute_start,
        minute_start = min(minute_start) over (partition by instrument_id, session_date) as is_first,
        count(*) filter (where is_used) as trades,
        min_by(price, (event_ts_ns, tie_order)) as first_price,
        max_by(price, (event_ts_ns, tie_order)) filter (where is_used) as last_used
    from prints
    group by instrument_id, calendar, session_date, minute_start
),

-- Sessions open and close at full minutes.
placed as (
    select
        m.*,
        coalesce(m.last_used, m.first_price) as last_price,
        cast(({{ ns_of('m.minute_start') }} - s.regular_open_ns) / 60000000000 as integer) as minute,
        cast((s.regular_close_ns - s.regular_open_ns) / 60000000000 as integer) as session_minutes
    from minutes as m
    inner join {{ ref('sessions') }} as s
        on m.calendar = s.calendar and m.session_date = s.session_date
    where m.last_used is not null or m.is_first
),

binned as (
    select
        p.instrument_id,
        p.calendar,
        p.session_date,
        p.session_minutes,
        g.step,
        g.shift,
        p.minute - (p.minute + g.step - g.shift) % g.step as bin,
        sum(p.trades) as trades,
        min_by(p.first_price, p.minute) as first_price,
        max_by(p.last_price, p.minute) as last_price
    from placed as p
    cross join {{ volatility_grids() }}
    group by
        p.instrument_id, p.calendar, p.session_date, p.session_minutes, g.step, g.shift,
        p.minute - (p.minute + g.step - g.shift) % g.step
),

-- The first point is the session's first trade, the others are the last of each bin.
returns as (
    select
        *,
        bin - lag(bin) over in_order = step as follows,
        bin - lag(bin) over in_order = 2 * step as skips,
        min(bin) over (partition by instrument_id, session_date, step, shift) as first_bin,
        abs(ln(
            cast(last_price as double)
            / cast(coalesce(lag(last_price) over in_order, first_price) as double)
        )) as r
    from binned
    window in_order as (partition by instrument_id, session_date, step, shift order by bin)
),

neighbours as (
    select
        *,
        case when follows then lag(r) over in_order end as r_before,
        case when skips then lag(r) over in_order end as r_before_empty,
        case when lead(follows) over in_order then lead(r) over in_order else 0 end as r_after
    from returns
    window in_order as (partition by instrument_id, session_date, step, shift order by bin)
),

-- A median of squares is the square of the median. The ends of a session have no neighbour; an
-- empty bin between two that are not is the centre of three returns, too.
centred as (
    select
        *,
        case
            when bin > first_bin and bin + step < session_minutes
                then power({{ median_of_three('coalesce(r_before, 0)', 'r', 'r_after') }}, 2)
            else 0
        end + case when skips then power(least(r, r_before_empty), 2) else 0 end as squared_median
    from neighbours
),

summed as (
    select
        instrument_id,
        calendar,
        session_date,
        session_minutes,
        step,
        shift,
        count(*) as filled,
        cast(sum(trades) as bigint) as trades,
        {{ bins_of('session_minutes - min(first_bin)', 'step') }} as returns,
        sum({{ summand('r * r') }}) as rv,
        coalesce(sum({{ summand('r * r_before') }}), 0) as products,
        sum({{ summand('squared_median') }}) as medians
    from centred
    group by instrument_id, calendar, session_date, session_minutes, step, shift
),

measured as (
    select
        instrument_id,
        calendar,
        session_date,
        max(trades) as trades,
        max({{ bins_of('session_minutes', 5) }}) as bins,
        max(filled) filter (where step = 5 and shift = 0) as filled_bins,
        2 * max(filled) filter (where step = 5 and shift = 0)
        >= max({{ bins_of('session_minutes', 5) }}) as is_filled,
        2 * max(filled) filter (where step = 1) >= max(session_minutes) as is_filled_1m,
        max(rv) filter (where step = 5 and shift = 0) as rv_5m,
        max(rv) filter (where step = 1) as rv_1m,
        sum(rv) filter (where step = 5) as rv_of_five_grids,
        max(returns) filter (where step = 5 and shift = 0) as returns,
        max(products) filter (where step = 5 and shift = 0) as products,
        max(medians) filter (where step = 5 and shift = 0) as medians
    from summed
    group by instrument_id, calendar, session_date
)

select
    instrument_id,
    {{ session_start() }} as event_hour,
    calendar,
    session_date,
    trades,
    bins,
    cast(filled_bins as integer) as filled_bins,
    case when is_filled then cast(rv_5m as double) end as rv_5m,
    case when is_filled_1m then cast(rv_1m as double) end as rv_1m,
    case when is_filled then cast(rv_of_five_grids as double) / 5 end as rv_5m_subsampled,
    case
        when is_filled
            then pi() / 2 * returns / nullif(returns - 1, 0) * cast(products as double)
    end as bipower,
    case
        when is_filled
            then {{ med_rv_factor() }} * returns / nullif(returns - 2, 0) * cast(medians as double)
    end as med_rv,
    case when is_filled then {{ annualised('cast(rv_5m as double)') }} end as volatility
from measured
