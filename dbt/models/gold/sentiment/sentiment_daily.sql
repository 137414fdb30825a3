{{ config(materialized='view') }}

-- A row for every instrument and every session, of those in which anything was posted, since the
-- instrument was first mentioned. Lags and means go by such sessions, n = 0 included.
with places as (
    select
        calendar,
        session_date,
        row_number() over (partition by calendar order by session_date) as place
    from {{ ref('sentiment_sessions') }}
    group by calendar, session_date
),

firsts as (
    select
        instrument_id,
        calendar,
        min(session_date) as first_date
    from {{ ref('sentiment_sessions') }}
    group by instrument_id, calendar
),

days as (
    select
        f.instrument_id,
        p.calendar,
        p.session_date,
        p.place,
        coalesce(s.n_posts, 0) as n_posts,
        coalesce(s.n_authors, 0) as n_authors,
        coalesce(s.n_retweets, 0) as n_retweets,
        cast(s.sentiment_sum as double) / s.n_posts as mean,
        cast(s.weighted_sum as double) / cast(s.weight_sum as double) as weighted_mean,
        s.n_positive / cast(s.n_posts as double) as positive_share,
        s.n_negative / cast(s.n_posts as double) as negative_share,
        case
            when s.n_posts > 1
                then sqrt({{ sample_variance('s.sentiment_sum', 's.sentiment_squares', 's.n_posts') }})
        end as dispersion,
        {{ summand('ln(1 + coalesce(s.n_posts, 0))') }} as log_posts,
        s.sentiment_sum,
        s.scorer
    from firsts as f
    inner join places as p on f.calendar = p.calendar and f.first_date <= p.session_date
    left join {{ ref('sentiment_sessions') }} as s
        on f.instrument_id = s.instrument_id and p.session_date = s.session_date
)

select
    instrument_id,
    calendar,
    session_date,
    n_posts,
    n_authors,
    n_retweets,
    mean,
    weighted_mean,
    positive_share,
    negative_share,
    dispersion,
    {% for sessions in [1, 2, 3, 5] %}
        lag(mean, {{ sessions }}) over by_day as mean_lag_{{ sessions }},
    {% endfor %}
    {% for sessions in [3, 5, 10] %}
        cast(sum({{ summand('mean') }}) over last_{{ sessions }} as double)
        / nullif(count(mean) over last_{{ sessions }}, 0) as mean_of_{{ sessions }},
    {% endfor %}
    case
        when count(*) over previous_20 = 20
            then cast(log_posts as double) - cast(sum(log_posts) over previous_20 as double) / 20
    end as abnormal_volume,
    lag(n_posts) over by_day as n_posts_lag_1,
    scorer
from days
window
    by_day as (partition by instrument_id order by session_date),
    last_3 as (by_day rows between 2 preceding and current row),
    last_5 as (by_day rows between 4 preceding and current row),
    last_10 as (by_day rows between 9 preceding and current row),
    previous_20 as (by_day rows between 20 preceding and 1 preceding)
