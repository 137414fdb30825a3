{{ config(by=['event_hour'], reach={'gold.pnl': 'from_hour'}) }}

-- Exposure and P&L by trader, by instrument, by segment and in all at the end of every minute in
-- which one of the positions changed: over the latest state of each, never over their history.
with earlier as (
    select * from {{ before_scope(ref('pnl')) }}
),

states as (
    select *, false as is_carried from {{ from_scope_on(ref('pnl')) }}
    union all
    select *, true as is_carried from ({{ latest_per('earlier', ['trader_id', 'instrument_id']) }})
),

changes as (
    {{ risk_changes('states') }}
),

minutes as (
    select
        {{ window_start('event_ts_ns', 60) }} as window_start,
        event_hour,
        trader_id,
        instrument_id,
        coalesce(nullif(segment, ''), 'unknown') as market_segment,
        {{ using_columns(risk_measures(), 'sum({0}_change) as {0}_change') }}
    from changes
    group by 1, 2, 3, 4, 5
),

levels as (
    {{ risk_levels('minutes') }}
)

select
    level,
    level_key,
    window_start,
    event_hour,
    {{ risk_sums('level, level_key', 'window_start') }}
from levels
qualify {{ in_scope('levels') }}
