{{ config(materialized='view') }}

-- What the regression of volatility on sentiment reads (analytics.md 20): the left side is session
-- t, everything on the right was known at the close of t - 1.
with measured as (
    select
        instrument_id,
        calendar,
        session_date,
        ln(rv_5m) as ln_rv,
        lag(session_date) over by_day as previous_date,
        lag(ln(rv_5m)) over by_day as ln_rv_lag_1,
        avg({{ summand('ln(rv_5m)') }}) over before_5 as ln_rv_mean_5,
        avg({{ summand('ln(rv_5m)') }}) over before_22 as ln_rv_mean_22,
        count(*) over before_5 as n_5,
        count(*) over before_22 as n_22,
        rv_5m
    from {{ ref('realized_volatility') }}
    where rv_5m > 0
    window
        by_day as (partition by instrument_id order by session_date),
        before_5 as (by_day rows between 5 preceding and 1 preceding),
        before_22 as (by_day rows between 22 preceding and 1 preceding)
)

select
    m.instrument_id,
    m.calendar,
    m.session_date,
    m.previous_date,
    m.rv_5m,
    m.ln_rv,
    m.ln_rv_lag_1,
    case when m.n_5 = 5 then cast(m.ln_rv_mean_5 as double) end as ln_rv_mean_5,
    case when m.n_22 = 22 then cast(m.ln_rv_mean_22 as double) end as ln_rv_mean_22,
    s.mean as sentiment_lag_1,
    s.weighted_mean as weighted_sentiment_lag_1,
    s.n_posts as n_posts_lag_1,
    ln(1 + s.n_posts) as ln_posts_lag_1
from measured as m
left join {{ ref('sentiment_daily') }} as s
    on m.instrument_id = s.instrument_id and m.previous_date = s.session_date
