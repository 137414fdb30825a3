{#
    The order book of single orders, L3 (analytics.md 10, 23.1). An order's price comes from its
    last A or M, its size from that less what C took since: sums over its own messages, no replay.
#}

{# The messages of one book in their order. A book is what one source says of one venue, in one
   session: it starts empty. #}
{% macro book_window() -%}
    (
        partition by is_duplicate, source, venue, instrument_id, session_date
        order by event_ts_ns, tie_order
        rows between unbounded preceding and current row
    )
{%- endmacro %}


{# The messages of one order between two clearings of its book; `more` cuts them further. #}
{% macro order_window(more=[], frame='') -%}
    (
        partition by is_duplicate, source, venue, instrument_id, session_date, order_id, clearings
        {%- for column in more %}, {{ column }}{% endfor %}
        order by event_ts_ns, tie_order
        {{ frame }}
    )
{%- endmacro %}


{# What is wrong with a message, given the size its order had before it; null if nothing is.
   All findings are kept and counted; none stops a build. #}
{% macro order_finding() -%}
    case
        when is_duplicate then 'DUPLICATE'
        when msg_type = 'R' then null
        when order_id is null then 'NO_ORDER_ID'
        when msg_type = 'A' and size_before > 0 then 'DOUBLE_ADD'
        when msg_type = 'M' and size_before = 0 then 'ORPHAN_MODIFY'
        when msg_type in ('C', 'T') and size_before = 0 then 'ORPHAN_CANCEL'
        when msg_type in ('C', 'T') and quantity > size_before then 'OVER_CANCEL'
    end
{%- endmacro %}


{# How many moments of a book are looked at together: a level that is not among the five best of
   those that stand throughout a bucket cannot be a level of the depth within it. #}
{% macro book_bucket() -%}
    32
{%- endmacro %}


{# CTEs up to `sized`, the wide state of every moment of CTE `lives`, for books with any number of
   levels. `keys` name a book. Only levels that can be among the five are ranked: the moments of a
   book and hour are numbered and looked at in buckets. #}
{% macro depth_by_rank(keys) %}
    books as (
        select *, row_number() over (order by event_hour, {{ keys | join(', ') }}) as book
        from (select distinct {{ keys | join(', ') }}, event_hour, calendar, session_date from lives) as b
    ),

    numbered as (
        select b.book, l.side, l.price, l.size, l.from_ns, l.to_ns
        from lives as l
        inner join books as b
            on l.event_hour = b.event_hour
            {%- for key in keys %}
            and l.{{ key }} is not distinct from b.{{ key }}
            {%- endfor %}
    ),

    changes as (
        -- A side without a stated size counts as 0 and makes its level's size unknown.
        select
            book, side, price, ts, sum(size) as size, sum(quoters) as quoters,
            sum(case when is_unsized then quoters else 0 end) as unsized
        from (
            select book, side, price, from_ns as ts, coalesce(size, 0) as size, 1 as quoters, size is null as is_unsized
            from numbered
            union all
            select book, side, price, to_ns as ts, -coalesce(size, 0), -1, size is null
            from numbered
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
            case when sum(c.unsized) over so_far = 0 then sum(c.size) over so_far end as size,
            sum(c.quoters) over so_far as quoters,
            m.moment as first_moment,
            lead(m.moment) over in_order as end_moment
        from changes as c
        inner join moments as m on c.book = m.book and c.ts = m.ts
        window
            so_far as (
                partition by c.book, c.side, c.price order by c.ts
                rows between unbounded preceding and current row
            ),
            in_order as (partition by c.book, c.side, c.price order by c.ts)
    ),

    pieces as (
        select
            l.book,
            l.side,
            case when l.side = 'BID' then -l.price else l.price end as rank_price,
            l.price,
            l.size,
            l.quoters,
            b.bucket,
            greatest(l.first_moment, b.bucket * {{ book_bucket() }}) as first_moment,
            least(l.end_moment, (b.bucket + 1) * {{ book_bucket() }}) as end_moment
        from levels as l
        cross join lateral {{ numbers_within(
            'l.first_moment // ' ~ book_bucket(), '(l.end_moment - 1) // ' ~ book_bucket() ~ ' + 1'
        ) }} as b (bucket)
        where l.quoters > 0
    ),

    standing as (
        -- the fifth best of the levels that stand throughout a bucket
        select book, bucket, side, rank_price as worst
        from (
            select book, bucket, side, rank_price, sum(end_moment - first_moment) as stood
            from pieces
            group by book, bucket, side, rank_price
        ) as p
        where stood = {{ book_bucket() }}
        qualify row_number() over (partition by book, bucket, side order by rank_price) = 5
    ),

    ranked as (
        select
            p.book,
            t.moment,
            p.side,
            p.price,
            p.size,
            p.quoters,
            row_number() over (partition by p.book, t.moment, p.side order by p.rank_price) as level
        from pieces as p
        left join standing as s on p.book = s.book and p.bucket = s.bucket and p.side = s.side
        cross join lateral {{ numbers_within('p.first_moment', 'p.end_moment') }} as t (moment)
        where s.worst is null or p.rank_price <= s.worst
    ),

    wide as (
        select
            book,
            moment,
            {%- for side, name, _, _ in depth_sides() %}{% for level in depth_levels() %}
            {%- set here = "case when side = '" ~ name ~ "' and level = " ~ level ~ " then " %}
            max({{ here }} price end) as {{ side }}_price_{{ level }},
            max({{ here }} size end) as {{ side }}_size_{{ level }},
            max({{ here }} quoters end) as {{ side }}_count_{{ level }}
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
    )
{% endmacro %}
