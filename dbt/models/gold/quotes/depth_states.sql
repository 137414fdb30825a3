{{ config(by=['instrument_id', 'event_hour']) }}

-- The best five prices of each side over all live firm quotes, one wide row per state of the book
-- (analytics.md 10). Every quoter of an instrument and hour has a seat: a column that holds what he
-- shows. The best price over the seats is level 1, the best that is worse than it level 2.
{% set intervals = touched(ref('quote_intervals')) %}
{% set seats = quoter_seats(intervals) %}

with lives as (
    select * from {{ intervals }} as i where {{ firm_quote() }}
),

quoters as (
    select
        instrument_id,
        event_hour,
        source,
        dealer_id,
        row_number() over (partition by instrument_id, event_hour order by source, dealer_id) - 1 as seat
    from (select distinct instrument_id, event_hour, source, dealer_id from lives) as q
),

seated as (
    select l.*, q.seat
    from lives as l
    inner join quoters as q
        on l.instrument_id = q.instrument_id
        and l.event_hour = q.event_hour
        and l.source = q.source
        and l.dealer_id = q.dealer_id
),

changes as (
    select
        instrument_id, event_hour, calendar, session_date, seat, side, from_ns, price, coalesce(size, -1) as size
    from seated
    union all
    -- A quote that follows at once outweighs the end of the one before it: its price is above 0.
    select instrument_id, event_hour, calendar, session_date, seat, side, to_ns, 0, -2 from seated
),

moments_of_seats as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        from_ns,
        seat,
        {%- for side, name, _, _ in depth_sides() %}
        max(case when side = '{{ name }}' then price end) as {{ side }},
        cast(max(case when side = '{{ name }}' then size end) as decimal(38, 8)) as {{ side }}_size
        {{- ',' if not loop.last }}
        {%- endfor %}
    from changes
    group by instrument_id, event_hour, calendar, session_date, from_ns, seat
),

filled as (
    -- Of the seats that change in one nanosecond the last row knows all.
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        from_ns,
        {{ seats_filled(seats) }}
    from moments_of_seats
    window moments as (partition by instrument_id, event_hour order by from_ns)
    qualify lead(from_ns) over moments is distinct from from_ns
),

{{ depth_prices('filled', seats) }},

sized as (
    select instrument_id, event_hour, calendar, session_date, from_ns, {{ depth_sizes(seats) }} from level_5
),

{{ depth_states('sized', ['instrument_id'], 'dealers') }}
