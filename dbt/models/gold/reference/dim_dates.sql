{{ config(materialized='view') }}

-- Every session date of every calendar, 1990 to 2050.
select
    {{ key_of(['calendar', 'session_date']) }} as date_sk,
    calendar,
    session_date,
    cast(extract(year from session_date) as integer) as year,
    cast(extract(quarter from session_date) as integer) as quarter,
    cast(extract(month from session_date) as integer) as month,
    cast(extract(day from session_date) as integer) as day_of_month,
    cast({{ iso_weekday('session_date') }} as integer) as weekday,
    is_trading_day,
    is_early_close,
    session_start,
    session_end,
    regular_open,
    regular_close
from {{ ref('sessions') }}
