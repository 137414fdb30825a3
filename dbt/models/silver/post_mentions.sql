{{ config(
    by=['event_hour'],
    reach={'silver.posts_history': 'hour', 'silver.security_versions': 'validity'},
) }}

-- A mention counts for the session that closes next after the post: what is said of a session was
-- known before its close. A symbol is an instrument where the master knows it at that moment.
with posts as (
    select * from {{ touched(ref('posts')) }}
),

named as (
    {{ symbols_named('posts', [
        'post_key', 'platform', 'author', 'votes', 'is_retweet', 'is_repeat', 'sentiment', 'scorer',
        'event_ts_ns', 'event_ts', 'event_hour',
    ]) }}
),

dated as (
    select
        *,
        {{ session_date() }} as local_date
    from (select *, {{ calendar_of('symbol') }} as calendar from named)
),

following as (
    select
        calendar,
        session_date,
        is_trading_day,
        regular_close_ns,
        min(case when is_trading_day then session_date end) over (
            partition by calendar order by session_date rows between 1 following and unbounded following
        ) as next_session
    from {{ ref('sessions') }}
),

known as (
    select distinct d.post_key, d.symbol
    from dated as d
    inner join {{ ref('security_versions') }} as s
        on d.symbol = s.instrument_id
        and d.event_ts >= s.valid_from
        and (s.valid_to is null or d.event_ts < s.valid_to)
)

select
    d.post_key,
    d.symbol as instrument_id,
    k.post_key is not null as is_known,
    d.calendar,
    case
        when f.is_trading_day and d.event_ts_ns < f.regular_close_ns then f.session_date
        else f.next_session
    end as session_date,
    d.platform,
    d.author,
    d.votes,
    d.is_retweet,
    d.is_repeat,
    d.sentiment,
    d.scorer,
    d.event_ts_ns,
    d.event_ts,
    d.event_hour
from dated as d
left join following as f on d.calendar = f.calendar and d.local_date = f.session_date
left join known as k on d.post_key = k.post_key and d.symbol = k.symbol
