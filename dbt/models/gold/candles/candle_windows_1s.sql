{{ config(by=['instrument_id', 'event_hour']) }}

with trades as (
    select *
    from {{ touched(ref('trades')) }}
    {% if var('exclude_outliers') %} where not is_outlier {% endif %}
),

candles as (
    {{ candles_from_trades('trades', 1) }}
),

-- Corrections and cancels, counted where what they changed lay.
reopened as (
    select instrument_id, 'ALL' as venue, {{ window_start('event_ts_ns', 1) }} as window_start, reopened
    from {{ touched(ref('trades_history')) }}
    where reopened > 0
    union all
    select instrument_id, venue, {{ window_start('event_ts_ns', 1) }}, reopened
    from {{ touched(ref('trades_history')) }}
    where reopened > 0 and venue is not null
),

revisions as (
    select instrument_id, venue, window_start, sum(reopened) as revision
    from reopened
    group by instrument_id, venue, window_start
)

select
    c.*,
    cast(coalesce(r.revision, 0) as bigint) as revision
from candles as c
left join revisions as r
    on c.instrument_id = r.instrument_id and c.venue = r.venue and c.window_start = r.window_start
