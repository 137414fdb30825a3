{{ config(by=['instrument_id', 'event_hour']) }}

-- The best five prices of each side over all live firm quotes, one wide row per state of the book
-- (analytics.md 10).
{% set intervals = touched(ref('quote_intervals')) %}
{% set seats = quoter_seats(intervals) %}

with lives as (
    select *
    from {{ intervals }}
    where {{ firm_quote() }}
),

{{ depth_by_seats(seats) if seats else depth_by_rank(['instrument_id']) }},

{{ depth_states('sized', ['instrument_id'], 'dealers') }}
