{{ config(by=['event_hour'], reach={'bronze.posts': 'days:1'}) }}

-- A post is one (platform, post_id) at one moment; the first of it to land stays.
with landed as (
    select
        *,
        {{ key_of(['platform', 'post_id', 'event_ts_ns']) }} as post_key
    from {{ touched(ref('stg_posts'), hours_back=24, dates='event_date') }}
),

copies as (
    select
        *,
        row_number() over (
            partition by post_key order by recv_ts_ns nulls last, unit, position
        ) > 1 as is_duplicate
    from landed
),

repeats as (
    select
        *,
        event_ts_ns - lag(event_ts_ns) over (
            partition by is_duplicate, platform, author, {{ key_of(['text']) }}
            order by event_ts_ns, post_key, unit, position
        ) as since_same_ns
    from copies
)

select
    post_key,
    platform,
    post_id,
    author,
    text,
    votes,
    tickers,
    source,
    event_ts_ns,
    event_ts,
    event_hour,
    is_duplicate,
    text like 'RT @%' as is_retweet,
    not is_duplicate and author is not null
    and coalesce(since_same_ns <= 24 * 3600000000000, false) as is_repeat,
    {{ sentiment_score('text') }} as sentiment,
    '{{ scorer() }}' as scorer,
    unit,
    position,
    batch
from {{ touched('repeats') }}
