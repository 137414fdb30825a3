{{ config(by=['event_hour'], reach={'silver.post_mentions': 'days:10'}) }}

-- Sums per instrument and session; a post counts for a session up to ten days later, after a
-- long closure. The weight of a mention is ln(1 + votes) + 1.
with mentions as (
    select
        *,
        {{ engagement_weight('votes') }} as weight
    from {{ touched(ref('post_mentions'), hours_back=240, hours_after=24) }}
    where is_known and not is_repeat
),

summed as (
    select
        instrument_id,
        {{ session_start() }} as event_hour,
        calendar,
        session_date,
        count(*) as n_posts,
        count(distinct platform || chr(31) || coalesce(author, '')) as n_authors,
        count(*) filter (where is_retweet) as n_retweets,
        count(*) filter (where sentiment > 0.05) as n_positive,
        count(*) filter (where sentiment < -0.05) as n_negative,
        cast(sum(sentiment) as decimal(38, 4)) as sentiment_sum,
        cast(sum(sentiment * sentiment) as decimal(38, 8)) as sentiment_squares,
        cast(sum(weight) as decimal(38, 18)) as weight_sum,
        cast(sum({{ summand('weight * cast(sentiment as double)') }}) as decimal(38, 18)) as weighted_sum,
        min(scorer) as scorer
    from mentions
    group by instrument_id, calendar, session_date
)

select * from {{ touched('summed') }}
