{{ config(by=['instrument_id', 'event_hour']) }}

-- What an instrument's hour holds and lacks: the days of the profile are sums of these.
with trades as (
    select
        instrument_id, event_hour,
        count(*) filter (where state = 'current') as trades,
        count(*) filter (where state = 'current' and session_type = 'regular') as regular_trades,
        sum(quantity) filter (where state = 'current' and is_volume_eligible) as volume,
        sum(notional) filter (where state = 'current' and is_volume_eligible) as notional,
        count(distinct {{ minute_of('event_ts_ns') }}) filter (
            where state = 'current' and session_type = 'regular' and (is_price_eligible or is_volume_eligible)
        ) as minutes_traded,
        count(*) filter (where is_duplicate) as trade_duplicates,
        count(*) filter (where is_conflict) as conflicts,
        count(*) filter (where status = 'CORRECT' and not is_duplicate) as corrections,
        count(*) filter (where status = 'CANCEL' and not is_duplicate) as cancels
    from {{ touched(ref('trades_history')) }}
    group by instrument_id, event_hour
),

quotes as (
    select
        q.instrument_id, q.event_hour,
        count(*) filter (where not q.is_duplicate) as quotes,
        count(distinct {{ minute_of('q.event_ts_ns') }}) filter (
            where not q.is_duplicate
            and q.event_ts_ns >= s.regular_open_ns and q.event_ts_ns < s.regular_close_ns
        ) as minutes_quoted,
        count(*) filter (where q.is_duplicate) as quote_duplicates
    from {{ touched(ref('quotes_history')) }} as q
    left join {{ ref('sessions') }} as s on q.calendar = s.calendar and q.session_date = s.session_date
    group by q.instrument_id, q.event_hour
),

gaps as (
    select
        instrument_id, event_hour,
        count(*) filter (where gap_kind = 'trade' and threshold_ms = {{ gap_threshold(0) }}) as hft_gaps,
        count(*) filter (where gap_kind = 'trade' and threshold_ms = {{ gap_threshold(1) }}) as fast_gaps,
        count(*) filter (where gap_kind = 'trade' and threshold_ms = {{ gap_threshold(2) }}) as standard_gaps,
        max(gap_ms) filter (where gap_kind = 'trade') as longest_gap_ms,
        max(gap_ms) filter (where gap_kind = 'edge_gap' and prev_trade_key is null) as open_gap_ms,
        max(gap_ms) filter (where gap_kind = 'edge_gap' and next_trade_key is null) as close_gap_ms
    from {{ touched(ref('trade_gaps')) }}
    group by instrument_id, event_hour
),

outliers as (
    select instrument_id, event_hour, count(*) as outliers
    from {{ touched(ref('trade_outliers')) }}
    where is_outlier
    group by instrument_id, event_hour
),

hours as (
    select instrument_id, event_hour from trades
    union
    select instrument_id, event_hour from quotes
    union
    select instrument_id, event_hour from gaps
),

dated as (
    select *, {{ calendar_of() }} as calendar from hours
)

select
    h.instrument_id,
    h.event_hour,
    h.calendar,
    {{ session_date('h.event_hour', 'h.calendar') }} as session_date,
    coalesce(t.trades, 0) as trades,
    coalesce(t.regular_trades, 0) as regular_trades,
    coalesce(q.quotes, 0) as quotes,
    cast(coalesce(t.volume, 0) as decimal(38, 8)) as volume,
    cast(coalesce(t.notional, 0) as decimal(38, 12)) as notional,
    coalesce(t.minutes_traded, 0) as minutes_traded,
    coalesce(q.minutes_quoted, 0) as minutes_quoted,
    coalesce(g.hft_gaps, 0) as hft_gaps,
    coalesce(g.fast_gaps, 0) as fast_gaps,
    coalesce(g.standard_gaps, 0) as standard_gaps,
    g.longest_gap_ms,
    g.open_gap_ms,
    g.close_gap_ms,
    coalesce(o.outliers, 0) as outliers,
    coalesce(t.trade_duplicates, 0) as trade_duplicates,
    coalesce(q.quote_duplicates, 0) as quote_duplicates,
    coalesce(t.conflicts, 0) as conflicts,
    coalesce(t.corrections, 0) as corrections,
    coalesce(t.cancels, 0) as cancels
from dated as h
left join trades as t on h.instrument_id = t.instrument_id and h.event_hour = t.event_hour
left join quotes as q on h.instrument_id = q.instrument_id and h.event_hour = q.event_hour
left join gaps as g on h.instrument_id = g.instrument_id and h.event_hour = g.event_hour
left join outliers as o on h.instrument_id = o.instrument_id and h.event_hour = o.event_hour
