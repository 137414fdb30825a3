{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.trades_history': 'hour_and_next', 'silver.trade_outliers': 'none'},
) }}

with trades as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        event_ts_ns,
        quantity,
        notional,
        {{ window_start('event_ts_ns', 60) }} as window_start,
        event_ts_ns - lag(event_ts_ns) over (
            partition by instrument_id, session_date order by event_ts_ns
        ) as since_last_ns
    from {{ touched(ref('trades'), hours_back=1) }}
    where session_type = 'regular' and {{ trade_filter() }}
),

-- Times beyond an hour are left out, as the trade before them may lie where it was not looked.
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
        median(since_last_ns) filter (where since_last_ns < 3600000000000) as median_ns,
        count(*) filter (where since_last_ns <= event_ts_ns % 1000000) as same_ms
    from trades
    group by 1, 2, 3, 4, 5
),

-- The twenty minutes before; those without trades have no row and count as zero.
compared as (
    select
        *,
        cast(coalesce(sum(trade_count) over twenty, 0) as bigint) as base_sum,
        cast(coalesce(sum(trade_count * trade_count) over twenty, 0) as bigint) as base_squares
    from (select *, {{ ns_of('window_start') }} as window_start_ns from minutes)
    window twenty as (
        partition by instrument_id, session_date order by window_start_ns
        range between 1200000000000 preceding and 60000000000 preceding
    )
)

select
    m.instrument_id,
    m.event_hour,
    m.session_date,
    m.window_start,
    m.trade_count,
    cast(m.volume as decimal(38, 8)) as volume,
    cast(m.notional as decimal(38, 12)) as notional,
    {{ ratio('m.trade_count', 60) }} as trades_per_s,
    {{ ratio('m.volume', 60) }} as shares_per_s,
    {{ ratio('m.notional', 60) }} as notional_per_s,
    m.median_ns / 1e6 as median_inter_trade_ms,
    {{ ratio('m.same_ms', 'm.trade_count') }} as same_ms_share,
    case
        when m.window_start_ns - 1200000000000 >= s.regular_open_ns
            then {{ z_of_count('m.trade_count', 'm.base_sum', 'm.base_squares', 20) }}
    end as velocity_z
from compared as m
inner join {{ ref('sessions') }} as s on m.calendar = s.calendar and m.session_date = s.session_date
where {{ in_scope('m') }}
