{{ config(by=['instrument_id', 'event_hour'], reach={'silver.trades_history': 'hour_and_next'}) }}

with trades as (
    select
        instrument_id, event_hour, calendar, session_date, event_ts_ns, quantity, notional,
        event_ts_ns - lag(event_ts_ns) over (
            partition by instrument_id, session_date order by event_ts_ns
        ) as since_last_ns
    from {{ touched(ref('trades'), hours_back=1) }}
    where session_type = 'regular' and {{ trade_filter() }}
),

-- A trade before the hour that was read is not seen: times beyond one hour are left out.
timed as (
    select
        *,
        {{ window_start('event_ts_ns', 60) }} as window_start,
        case when since_last_ns < 3600000000000 then since_last_ns end as inter_trade_ns,
        event_ts_ns / 1000000 as ms
    from trades
),

minutes as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        window_start,
        count(*) as trade_count,
        sum(quantity) as volume,
        sum(notional) as notional,
        median(inter_trade_ns) as median_inter_trade_ns,
        count(inter_trade_ns) as inter_trades,
        count(*) filter (where inter_trade_ns <= event_ts_ns % 1000000) as same_ms
    from timed
    group by 1, 2, 3, 4, 5
),

-- Minutes without trades count as zero among the twenty before, all of which must be of the session.
compared as (
    select
        m.*,
        case
            when m.window_start - {{ minutes(20) }} >= s.regular_open then 20 * coalesce(sum(m.trade_count) over w, 0)
        end as base_sum,
        s.regular_open
    from minutes as m
    inner join {{ ref('sessions') }} as s on m.calendar = s.calendar and m.session_date = s.session_date
)
select 1
