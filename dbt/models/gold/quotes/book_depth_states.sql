{{ config(by=['instrument_id', 'event_hour']) }}

-- The best five prices of each side of the order book of single orders, one wide row per state.
-- A book has hundreds of levels, so only those that can be among the five are ranked: moments are
-- numbered and looked at in buckets (macros/market/book.sql).
with lives as (
    select * from {{ touched(ref('order_book')) }}
),

books as (
    select
        *,
        row_number() over (order by instrument_id, source, venue, event_hour) as book
    from (select distinct instrument_id, source, venue, event_hour, calendar, session_date from lives) as b
),

numbered as (
    select b.book, l.side, l.price, l.size, l.from_ns, l.to_ns
    from lives as l
    inner join books as b
        on l.instrument_id = b.instrument_id
        and l.source = b.source
        and l.venue is not distinct from b.venue
        and l.event_hour = b.event_hour
),

changes as (
    select book, side, price, ts, sum(size) as size, sum(orders) as orders
    from (
        select book, side, price, from_ns as ts, size, 1 as orders from numbered
        union all
        select book, side, price, to_ns as ts, -size, -1 from numbered
    ) as c
    group by book, side, price, ts
),

moments as (
    select book, ts, row_number() over (partition by book order by ts) - 1 as moment
    from (select distinct book, ts from changes) as t
),

levels as (
    select
        c.book,
        c.side,
        c.price,
        sum(c.size) over level_so_far as size,
        sum(c.orders) over level_so_far as orders,
        m.moment as first_moment,
        lead(m.moment) over (partition by c.book, c.side, c.price order by c.ts) as end_moment
    from changes as c
    inner join moments as m on c.book = m.book and c.ts = m.ts
    window level_so_far as (
        partition by c.book, c.side, c.price order by c.ts rows between unbounded preceding and current row
    )
),

pieces as (
    select
        l.* exclude (first_moment, end_moment),
        b.bucket,
        greatest(l.first_moment, b.bucket * {{ book_bucket() }}) as first_moment,
        least(l.end_moment, (b.bucket + 1) * {{ book_bucket() }}) as end_moment
    from levels as l
    cross join lateral {{ numbers_within(
        'l.first_moment // ' ~ book_bucket(), '(l.end_moment - 1) // ' ~ book_bucket() ~ ' + 1'
    ) }} as b (bucket)
    where l.orders > 0
),

standing as (
    -- the fifth best of the levels that stand throughout a bucket
    select book, bucket, side, price as worst
    from (
        select book, bucket, side, price, sum(end_moment - first_moment) as stood
        from pieces
        group by book, bucket, side, price
    ) as p
    where stood = {{ book_bucket() }}
    qualify row_number() over (
        partition by book, bucket, side order by case when side = 'B' then -price else price end
    ) = 5
),

ranked as (
    select
        p.book,
        t.moment,
        p.side,
        p.price,
        p.size,
        p.orders,
        row_number() over (
            partition by p.book, t.moment, p.side order by case when p.side = 'B' then -p.price else p.price end
        ) as level
    from pieces as p
    left join standing as s on p.book = s.book and p.bucket = s.bucket and p.side = s.side
    cross join lateral {{ numbers_within('p.first_moment', 'p.end_moment') }} as t (moment)
    where
        s.worst is null
        or (p.side = 'B' and p.price >= s.worst)
        or (p.side = 'S' and p.price <= s.worst)
),

wide as (
    select
        book,
        moment,
        {%- for side, letter in [('bid', 'B'), ('offer', 'S')] %}{% for level in depth_levels() %}
        {%- set here = "case when side = '" ~ letter ~ "' and level = " ~ level ~ " then " %}
        max({{ here }} price end) as {{ side }}_price_{{ level }},
        max({{ here }} size end) as {{ side }}_size_{{ level }},
        max({{ here }} orders end) as {{ side }}_count_{{ level }}
        {{- ',' if not loop.last }}{% endfor %}{{ ',' if not loop.last }}{% endfor %}
    from ranked
    where level <= 5
    group by book, moment
),

sized as (
    -- A moment without levels is a state too: it ends the one before.
    select b.*, m.ts as from_ns, w.* exclude (book, moment)
    from moments as m
    inner join books as b on m.book = b.book
    left join wide as w on m.book = w.book and m.moment = w.moment
),

{{ depth_states('sized', ['instrument_id', 'source', 'venue'], 'orders') }}
