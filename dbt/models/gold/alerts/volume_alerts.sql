{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.candle_windows_1m': 'session', 'silver.last_prices_history': 'session'},
) }}

-- Volume far above what was usual just before (analytics.md 16): of a minute against the 20 minutes
-- before it, from the session's first trade on, minutes without trades included; and of a market
-- data message against the 20 of its venue before it.
with candles as (
    select instrument_id, session_date, window_start, volume
    from {{ touched(ref('candle_windows_1m')) }}
    where venue = 'ALL' and session_type = 'regular'
),

minutes as (
    select
        instrument_id,
        session_date,
        {{ every('minute', 'min(window_start)', 'max(window_start)') }} as window_start
    from candles
    group by instrument_id, session_date
),

dense as (
    select
        'volume_spike' as rule,
        'trades' as dataset,
        m.instrument_id as key,
        m.instrument_id,
        'ALL' as venue,
        m.session_date,
        {{ ns_of('m.window_start') }} as event_ts_ns,
        cast({{ ns_of('m.window_start') }} as varchar) as trigger_key,
        coalesce(c.volume, 0) as volume
    from minutes as m
    left join candles as c
        on m.instrument_id = c.instrument_id and m.session_date = c.session_date
        and m.window_start = c.window_start
),

messages as (
    select
        'message_volume_spike' as rule,
        'market_data' as dataset,
        concat_ws('/', instrument_id, venue) as key,
        instrument_id,
        venue,
        session_date,
        event_ts_ns,
        price_key as trigger_key,
        cast(volume as decimal(38, 8)) as volume,
        tie_order
    from {{ touched(ref('last_prices')) }}
    where session_type = 'regular' and volume is not null
),

triggers as (
    {{ volume_triggers('dense', 'instrument_id, session_date', 'event_ts_ns') }}
    union all
    select * exclude (tie_order)
    from ({{ volume_triggers('messages', 'instrument_id, venue, session_date', 'event_ts_ns, tie_order') }})
)

select * from ({{ alerts_from('triggers', ['volume', 'avg_volume', 'z_score']) }}) as alerts
