{#
    Market depth (analytics.md 10): the best five prices of each side, sizes summed over whoever
    quotes that price. A state of the book is one wide row, with columns bid_price_1 to
    offer_dealers_5: a tenth of the rows of the long form, and one pass of a window to make it.
#}

{% macro depth_levels() %}
    {% do return(range(1, 6)) %}
{% endmacro %}


{# (column prefix, value of `side`, best price of several, "is worse than") of both sides. #}
{% macro depth_sides() %}
    {% do return([
        ('bid', 'BID', 'greatest', '<'),
        ('offer', 'OFFER', 'least', '>'),
    ]) %}
{% endmacro %}


{# How many quoters one instrument has in an hour of `intervals`, at most: each gets a seat, which
   is a column. 0 where they are too many for that. Read from the data when the model runs. #}
{% macro quoter_seats(intervals) %}
    {% if not execute or model.resource_type != 'model' or flags.WHICH not in ['build', 'run'] %}
        {% do return(4) %}
    {% endif %}
    {% set most = run_query(
        "select coalesce(max(quoters), 0) from (select count(*) as quoters from (select distinct "
        ~ "instrument_id, event_hour, source, quoted_at, dealer_id from " ~ intervals ~ " as i where "
        ~ firm_quote() ~ ") as d group by instrument_id, event_hour) as c"
    ).columns[0].values()[0] | int %}
    {% do return([most, 2] | max if most <= var('pivoted_quoters') else 0) %}
{% endmacro %}


{# What counts for depth: firm quotes that are not crossed with their dealer's own other side. #}
{% macro firm_quote() -%}
    quote_type = 'F' and is_valid
{%- endmacro %}


{# CTEs up to `sized`, the wide state of every moment of CTE `lives`: with a column for what each
   quoter shows. The best price over the seats is level 1, the best that is worse than it level 2. #}
{% macro depth_by_seats(seats) %}
    quoters as (
        select
            *,
            row_number() over (
                partition by instrument_id, event_hour order by source, quoted_at, dealer_id
            ) - 1 as seat
        from (select distinct instrument_id, event_hour, source, quoted_at, dealer_id from lives) as q
    ),

    seated as (
        select l.*, q.seat
        from lives as l
        inner join quoters as q
            on l.instrument_id = q.instrument_id
            and l.event_hour = q.event_hour
            and l.source = q.source
            and l.quoted_at = q.quoted_at
            and l.dealer_id = q.dealer_id
    ),

    changes as (
        select
            instrument_id, event_hour, calendar, session_date, seat, side, from_ns, price,
            coalesce(size, -1) as size
        from seated
        union all
        select instrument_id, event_hour, calendar, session_date, seat, side, to_ns, 0, -2
        from seated
        where not is_followed
    ),

    moments_of_seats as (
        -- A quote that starts outweighs the end of the one before it: its price is above 0.
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
        window moments as (
            partition by instrument_id, event_hour order by from_ns, seat
            rows between unbounded preceding and current row
        ),
        following as (partition by instrument_id, event_hour order by from_ns, seat)
        qualify lead(from_ns) over following is distinct from from_ns
    ),

    {{ depth_prices('filled', seats) }},

    sized as (
        select instrument_id, event_hour, calendar, session_date, from_ns, {{ depth_sizes(seats) }}
        from level_5
    )
{% endmacro %}


{# Columns <side>_<seat> and <side>_size_<seat>: what the quoter in each seat shows after the
   changes of a moment. Price 0 ends a quote; size -1 says that the feed gives none. #}
{% macro seats_filled(seats) %}
    {%- for side, _, _, _ in depth_sides() %}{% for seat in range(seats) %}
    {{ last_known('case when seat = ' ~ seat ~ ' then ' ~ side ~ ' end') }} over moments as {{ side }}_{{ seat }},
    {{ last_known('case when seat = ' ~ seat ~ ' then ' ~ side ~ '_size end') }} over moments as {{ side }}_size_{{ seat }}
    {{- ', ' if not loop.last }}{% endfor %}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}


{# CTEs level_1 to level_5 over `filled`: each adds the best prices that are worse than those of
   the level before. #}
{% macro depth_prices(filled, seats) %}
    {%- for level in depth_levels() %}
    level_{{ level }} as (
        select
            *
            {%- for side, _, best, worse in depth_sides() %},
            {{ best }}(
                {%- for seat in range(seats) %}
                {%- set price = side ~ '_' ~ seat %}
                case when {{ price }} > 0
                    {%- if level > 1 %} and {{ price }} {{ worse }} {{ side }}_price_{{ level - 1 }}{% endif %} then {{ price }} end
                {{- ', ' if not loop.last }}
                {%- endfor -%}
            ) as {{ side }}_price_{{ level }}
            {%- endfor %}
        from {{ filled if level == 1 else 'level_' ~ (level - 1) }}
    )
    {{- ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}


{# Size and number of quoters of each level. A level without price is none; one that a quoter
   without stated size is at has no size. #}
{% macro depth_sizes(seats) %}
    {%- for side, _, _, _ in depth_sides() %}{% for level in depth_levels() %}
    {%- set price = side ~ '_price_' ~ level %}
    {{ price }},
    case when {{ price }} is not null then
        {% for seat in range(seats) -%}
        case when {{ side }}_{{ seat }} = {{ price }} then nullif({{ side }}_size_{{ seat }}, -1) else 0 end
        {{- ' + ' if not loop.last }}
        {%- endfor %}
    end as {{ side }}_size_{{ level }},
    nullif(
        {%- for seat in range(seats) -%}
        case when {{ side }}_{{ seat }} = {{ price }} then 1 else 0 end
        {{- ' + ' if not loop.last }}
        {%- endfor -%}, 0
    ) as {{ side }}_count_{{ level }}
    {{- ', ' if not loop.last }}{% endfor %}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}


{# The thirty columns of a wide state. `count` is what stands behind a level, dealers or orders. #}
{% macro depth_columns(count='count') %}
    {% set names = [] %}
    {% for side, _, _, _ in depth_sides() %}{% for level in depth_levels() %}
        {% for part in ['price', 'size', count] %}
            {% do names.append(side ~ '_' ~ part ~ '_' ~ level) %}
        {% endfor %}
    {% endfor %}{% endfor %}
    {% do return(names) %}
{% endmacro %}


{# Does a state differ from the one before it in `window`? The first does unless it is empty. #}
{% macro depth_differs(window) -%}
    ({% for column in depth_columns() %}
    {{ column }} is distinct from lag({{ column }}) over {{ window }}{{ ' or' if not loop.last }}
    {%- endfor %})
{%- endmacro %}


{# Sum of a side's level sizes down to a level; 0 for a side without levels. #}
{% macro depth_total(side, level=5) -%}
    (
        {%- for upper in range(1, level + 1) -%}
        case when {{ side }}_price_{{ upper }} is null then 0 else {{ side }}_size_{{ upper }} end
        {{- ' + ' if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}


{# The states of a book as they are kept, from CTE `states` with their wide columns, `from_ns` and
   `until_ns`: only what changed, with totals and imbalance. `keys` name the book. #}
{% macro depth_states(states, keys, count) %}
    changed as (
        select *
        from {{ states }}
        window book as (partition by {{ keys | join(', ') }}, event_hour order by from_ns)
        qualify {{ depth_differs('book') }}
    ),

    followed as (
        select
            *,
            coalesce(lead(from_ns) over book, {{ ns_of("event_hour + interval 1 hour") }}) as to_ns,
            cast({{ depth_total('bid') }} as decimal(38, 8)) as bid_total_size,
            cast({{ depth_total('offer') }} as decimal(38, 8)) as offer_total_size
        from changed
        window book as (partition by {{ keys | join(', ') }}, event_hour order by from_ns)
    )

    select
        {%- for key in keys %}
        {{ key }},
        {%- endfor %}
        event_hour,
        calendar,
        session_date,
        from_ns as valid_from_ns,
        to_ns as valid_to_ns,
        {{ timestamp_of('from_ns') }} as valid_from,
        {{ timestamp_of('to_ns') }} as valid_to,
        {%- for side, _, _, _ in depth_sides() %}{% for level in depth_levels() %}
        cast({{ side }}_price_{{ level }} as decimal(18, 9)) as {{ side }}_price_{{ level }},
        cast({{ side }}_size_{{ level }} as decimal(38, 8)) as {{ side }}_size_{{ level }},
        cast({{ side }}_count_{{ level }} as bigint) as {{ side }}_{{ count }}_{{ level }},
        {%- endfor %}{% endfor %}
        bid_total_size,
        offer_total_size,
        cast(bid_total_size - offer_total_size as double)
        / nullif(cast(bid_total_size + offer_total_size as double), 0) as depth_imbalance
    from followed
    where bid_price_1 is not null or offer_price_1 is not null
{% endmacro %}


{# The long form of wide states: a row for every level that is there. `carried` are further columns
   of `states` to keep. #}
{% macro depth_long(states, carried, count) %}
    select
        {%- for column in carried %}
        s.{{ column }},
        {%- endfor %}
        l.side,
        l.level,
        {{ depth_of_level('price') }} as price,
        {{ depth_of_level('size') }} as level_size,
        {{ depth_of_level(count) }} as n_{{ count }},
        case l.side
            {%- for side, name, _, _ in depth_sides() %}
            when '{{ name }}' then case l.level
                {%- for level in depth_levels() %}
                when {{ level }} then cast({{ depth_total(side, level) }} as decimal(38, 8))
                {%- endfor %}
            end
            {%- endfor %}
        end as cumulative_size,
        s.bid_total_size,
        s.offer_total_size,
        s.depth_imbalance
    from {{ states }} as s
    cross join (
        values
        {%- for _, name, _, _ in depth_sides() %}{% for level in depth_levels() %}
        ('{{ name }}', {{ level }}){{ ',' if not loop.last }}
        {%- endfor %}{{ ',' if not loop.last }}{% endfor %}
    ) as l (side, level)
    where {{ depth_of_level('price') }} is not null
{% endmacro %}


{% macro depth_of_level(part) -%}
    case l.side
        {%- for side, name, _, _ in depth_sides() %}
        when '{{ name }}' then case l.level
            {%- for level in depth_levels() %} when {{ level }} then s.{{ side }}_{{ part }}_{{ level }}{% endfor %} end
        {%- endfor %}
    end
{%- endmacro %}


{# States of every full second at which they are in force. A second that nothing is live at has no
   row. #}
{% macro depth_sampled(states) %}
    select
        s.*,
        {{ timestamp_of('t.second * 1000000000') }} as sample_ts
    from {{ states }} as s
    cross join lateral {{ numbers_within(
        '(s.valid_from_ns + 999999999) // 1000000000', '(s.valid_to_ns + 999999999) // 1000000000'
    ) }} as t (second)
{% endmacro %}
