{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'session', 'silver.trade_outliers': 'none'},
) }}

-- Where nothing traded in the regular session (analytics.md 4): between consecutive trades, from
-- the open to the first and from the last to the close, and whole minutes without a trade.
with traded as not materialized (
    select * from {{ touched(ref('trades')) }}
    where session_type = 'regular'
),

sessions as (
    select calendar, session_date, regular_open_ns, regular_close_ns from {{ ref('sessions') }}
),

followed as (
    select
        instrument_id, calendar, session_date, event_ts_ns, trade_key,
        lag(event_ts_ns) over (order_in_session) as prev_ts_ns,
        lag(trade_key) over (order_in_session) as prev_key
    from traded
    where {{ trade_filter() }}
    window order_in_session as (
        partition by instrument_id, calendar, session_date, session_id order by event_ts_ns, tie_order
    )
),

edges as (
    select
        instrument_id, calendar, session_date,
        min(event_ts_ns) as first_ns,
        min_by(trade_key, (event_ts_ns, tie_order)) as first_key,
        max(event_ts_ns) as last_ns,
        max_by(trade_key, (event_ts_ns, tie_order)) as last_key
    from traded
    where {{ trade_filter() }}
    group by instrument_id, calendar, session_date
),

-- Minutes with a trade, and the last before the open and the first after the close.
minutes as (
    select distinct
        instrument_id, calendar, session_date, {{ minute_of('event_ts_ns') }} as minute, false as is_close
    from traded
    where is_price_eligible or is_volume_eligible
    union all
    select e.instrument_id, e.calendar, e.session_date, {{ minute_of('s.regular_open_ns') }} - 1, false
    from edges as e
    inner join sessions as s on e.calendar = s.calendar and e.session_date = s.session_date
    union all
    select e.instrument_id, e.calendar, e.session_date, {{ minute_of('s.regular_close_ns') }}, true
    from edges as e
    inner join sessions as s on e.calendar = s.calendar and e.session_date = s.session_date
),

minute_pairs as (
    select
        *,
        lag(minute) over (partition by instrument_id, calendar, session_date order by minute) as prev_minute
    from minutes
),

found as (
    select
        'trade' as gap_kind, instrument_id, calendar, session_date,
        prev_ts_ns as gap_start_ns, event_ts_ns as gap_end_ns,
        prev_key as prev_trade_key, trade_key as next_trade_key, false as is_closing
    from followed
    where event_ts_ns - prev_ts_ns > {{ (var('gap_thresholds_ms') | min) * 1000000 }}
    union all
    select
        'edge_gap', e.instrument_id, e.calendar, e.session_date,
        s.regular_open_ns, e.first_ns, null, e.first_key, false
    from edges as e
    inner join sessions as s on e.calendar = s.calendar and e.session_date = s.session_date
    union all
    select
        'edge_gap', e.instrument_id, e.calendar, e.session_date,
        e.last_ns, s.regular_close_ns, e.last_key, null, true
    from edges as e
    inner join sessions as s on e.calendar = s.calendar and e.session_date = s.session_date
),

measured as (
    select f.*, t.threshold_ms
    from found as f
    inner join {{ gap_thresholds() }} as t on f.gap_end_ns - f.gap_start_ns > t.threshold_ms * 1000000
    union all
    select
        'candle', instrument_id, calendar, session_date,
        (prev_minute + 1) * 60000000000, minute * 60000000000, null, null, is_close, 60000
    from minute_pairs
    where minute > prev_minute + 1
)

select
    {{ key_of([
        'gap_kind', 'threshold_ms', 'instrument_id', 'gap_start_ns', 'gap_end_ns', 'prev_trade_key',
    ]) }} as gap_key,
    gap_kind,
    threshold_ms,
    instrument_id,
    calendar,
    session_date,
    gap_start_ns,
    gap_end_ns,
    {{ timestamp_of('gap_start_ns') }} as gap_start,
    {{ timestamp_of('gap_end_ns') }} as gap_end,
    {{ hour_of_gap('gap_end_ns', 'is_closing') }} as event_hour,
    gap_end_ns - gap_start_ns as gap_ns,
    cast(gap_end_ns - gap_start_ns as double) / 1000000 as gap_ms,
    case
        when gap_kind = 'candle' then {{ minute_of('gap_end_ns') }} - {{ minute_of('gap_start_ns') }}
        else {{ missing_intervals('(gap_end_ns - gap_start_ns)', 'threshold_ms * 1000000') }}
    end as missing_intervals,
    prev_trade_key,
    next_trade_key
from measured
