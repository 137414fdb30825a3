{{ config(materialized='view') }}

-- The profile of an instrument and session date (features.md C3): what there is, and what is odd or
-- lacking. An expected day between its first and its last on which nothing came has a row of zeros.
with found as (
    select
        instrument_id, calendar, session_date,
        sum(trades) as trades,
        sum(quotes) as quotes,
        sum(volume) as volume,
        sum(notional) as notional,
        sum(minutes_traded) as minutes_traded,
        sum(minutes_quoted) as minutes_quoted,
        sum(hft_gaps) as hft_gaps,
        sum(fast_gaps) as fast_gaps,
        sum(standard_gaps) as standard_gaps,
        max(longest_gap_ms) as longest_gap_ms,
        max(open_gap_ms) as open_gap_ms,
        max(close_gap_ms) as close_gap_ms,
        sum(outliers) as outliers,
        sum(trade_duplicates) as trade_duplicates,
        sum(quote_duplicates) as quote_duplicates,
        sum(conflicts) as conflicts,
        sum(corrections) as corrections,
        sum(cancels) as cancels
    from {{ ref('profile_hours') }}
    group by instrument_id, calendar, session_date
),

late as (
    select
        instrument_id,
        {{ session_date('event_hour', calendar_of()) }} as session_date,
        count(*) as late_trades,
        count(*) filter (where late_1m) as late_1m
    from {{ ref('late_trades') }}
    group by all
),

lives as (
    select
        instrument_id, calendar,
        min(session_date) as first_day,
        max(session_date) as last_day,
        max(trades) > 0 as is_traded,
        max(quotes) > 0 as is_quoted
    from found
    group by instrument_id, calendar
),

days as (
    select l.instrument_id, l.calendar, s.session_date
    from lives as l
    inner join {{ ref('sessions') }} as s
        on l.calendar = s.calendar and s.is_trading_day and s.session_date between l.first_day and l.last_day
    union
    select instrument_id, calendar, session_date from found
),

measured as (
    select
        d.instrument_id, d.calendar, d.session_date,
        f.* exclude (instrument_id, calendar, session_date),  -- noqa: RF02
        l.late_trades, l.late_1m, v.is_traded, v.is_quoted,
        coalesce((s.regular_close_ns - s.regular_open_ns) // 60000000000, 0) as expected_minutes
    from days as d
    left join found as f on d.instrument_id = f.instrument_id and d.session_date = f.session_date
    left join late as l on d.instrument_id = l.instrument_id and d.session_date = l.session_date
    inner join lives as v on d.instrument_id = v.instrument_id
    left join {{ ref('sessions') }} as s on d.calendar = s.calendar and d.session_date = s.session_date
)

select
    instrument_id,
    calendar,
    session_date,
    cast(coalesce(trades, 0) as bigint) as trades,
    cast(coalesce(quotes, 0) as bigint) as quotes,
    cast(coalesce(volume, 0) as decimal(38, 8)) as volume,
    cast(coalesce(notional, 0) as decimal(38, 12)) as notional,
    expected_minutes,
    cast(coalesce(minutes_traded, 0) as bigint) as minutes_traded,
    cast(coalesce(minutes_quoted, 0) as bigint) as minutes_quoted,
    case
        when is_traded then 100.0 * cast(coalesce(minutes_traded, 0) as double) / nullif(expected_minutes, 0)
    end as completeness_pct,
    case
        when is_quoted then 100.0 * cast(coalesce(minutes_quoted, 0) as double) / nullif(expected_minutes, 0)
    end as quote_completeness_pct,
    cast(coalesce(hft_gaps, 0) as bigint) as hft_gaps,
    cast(coalesce(fast_gaps, 0) as bigint) as fast_gaps,
    cast(coalesce(standard_gaps, 0) as bigint) as standard_gaps,
    longest_gap_ms,
    open_gap_ms,
    close_gap_ms,
    cast(coalesce(outliers, 0) as bigint) as outliers,
    cast(coalesce(trade_duplicates, 0) as bigint) as trade_duplicates,
    cast(coalesce(quote_duplicates, 0) as bigint) as quote_duplicates,
    cast(coalesce(conflicts, 0) as bigint) as conflicts,
    cast(coalesce(corrections, 0) as bigint) as corrections,
    cast(coalesce(cancels, 0) as bigint) as cancels,
    coalesce(late_trades, 0) as late_trades,
    coalesce(late_1m, 0) as late_1m
from measured
