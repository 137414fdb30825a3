{# Does a quote speak of a side? A two-sided one speaks of both, a one-sided one of its own; deeper
   levels of a book leave the dealer's best quote as it is. #}
{% macro touches(side) -%}
    (coalesce(side, '{{ side }}') = '{{ side }}' and coalesce(level, 1) <= 1)
{%- endmacro %}


{# A side's price and size as the row gives them, whichever of the two forms it has. #}
{% macro given_price(side) -%}
    case when side is null then {{ side | lower }}_price else coalesce(price, {{ side | lower }}_price) end
{%- endmacro %}

{% macro given_size(side) -%}
    case when side is null then {{ side | lower }}_size else coalesce(size, {{ side | lower }}_size) end
{%- endmacro %}


{# The price that a quote puts on a side; null where it withdraws it. A missing or zero price
   does, and a missing or zero size where the feed states sizes (analytics.md 1, D06). #}
{% macro live_price(side) -%}
    case
        when {{ touches(side) }} and coalesce(action, 'UPDATE') <> 'DELETE'
            and {{ given_price(side) }} > 0 and (not has_size or {{ given_size(side) }} > 0)
            then {{ given_price(side) }}
    end
{%- endmacro %}


{# The size that goes with it; null where the feed states none. #}
{% macro live_size(side) -%}
    case when {{ live_price(side) }} is not null then nullif({{ given_size(side) }}, 0) end
{%- endmacro %}


{# The columns that name one dealer's quote of one kind within a part. In a consolidated feed the
   venue is an attribute of the quote, elsewhere it belongs to who quotes. #}
{% macro quoter(alias='') -%}
    {%- set of = alias ~ '.' if alias else '' -%}
    {{ of }}instrument_id, {{ of }}event_hour, {{ of }}source, {{ of }}quoted_at, {{ of }}dealer_id, {{ of }}quote_type
{%- endmacro %}

{% macro same_quoter(a, b) -%}
    {{ a }}.instrument_id = {{ b }}.instrument_id and {{ a }}.event_hour = {{ b }}.event_hour
    and {{ a }}.source = {{ b }}.source and {{ a }}.quoted_at = {{ b }}.quoted_at
    and {{ a }}.dealer_id = {{ b }}.dealer_id and {{ a }}.quote_type = {{ b }}.quote_type
{%- endmacro %}


{# A price, 0 where there is none. #}
{% macro or_zero(price) -%}
    cast(coalesce({{ price }}, 0) as decimal(18, 9))
{%- endmacro %}


{# Quotes as messages that replace a side or both: price 0 withdraws. A quote lives until
   `expires_ns`: its time to live, or the end of the session (20:00 New York for equities). Yields are no prices and have no place in a best price. #}
{% macro quote_messages(quotes) %}
    select
        q.instrument_id,
        q.event_hour,
        q.calendar,
        q.session_date,
        q.source,
        case when q.feed_kind = 'consolidated' then '' else coalesce(q.venue, '') end as quoted_at,
        q.venue,
        q.dealer_id,
        q.quote_type,
        q.feed_kind,
        q.quote_key,
        q.event_ts_ns as at_ns,
        q.tie_order,
        q.event_ts_ns as quote_ts_ns,
        least(
            q.event_ts_ns + q.quote_ttl_ns, coalesce(s.extended_close_ns, s.session_end_ns)
        ) as expires_ns,
        q.touches_bid,
        q.touches_offer,
        {{ or_zero('q.live_bid_price') }} as bid_price,
        q.live_bid_size as bid_size,
        {{ or_zero('q.live_offer_price') }} as offer_price,
        q.live_offer_size as offer_size,
        cast(null as bigint) as bid_since_ns,
        cast(null as bigint) as offer_since_ns
    from {{ quotes }} as q
    inner join {{ ref('sessions') }} as s
        on q.calendar = s.calendar and q.session_date = s.session_date
    where (q.touches_bid or q.touches_offer) and q.quoted_in = 'price'
{% endmacro %}


{# Messages by lane, of which each replaces its lane's whole state: lane 0 for a quoter whose
   messages all speak of both sides, else lane 1 for the bid and 2 for the offer. Of several
   messages of one lane and nanosecond only the last stands. CTEs, to follow `messages`. #}
{% macro in_lanes() %}
{% if has_one_sided() %}
one_sided as (
    select distinct {{ quoter() }}
    from messages
    where not (touches_bid and touches_offer)
),

laned as not materialized (
    select *, 0 as lane
    from messages as m
    where not exists (select 1 from one_sided as o where {{ same_quoter('m', 'o') }})
    union all
    select * replace (cast(0 as decimal(18, 9)) as offer_price), 1
    from messages as m
    where touches_bid and exists (select 1 from one_sided as o where {{ same_quoter('m', 'o') }})
    union all
    select * replace (cast(0 as decimal(18, 9)) as bid_price), 2
    from messages as m
    where touches_offer and exists (select 1 from one_sided as o where {{ same_quoter('m', 'o') }})
),
{% else %}
laned as not materialized (
    select *, 0 as lane from messages
),
{% endif %}

crowded as (
    select distinct instrument_id, at_ns
    from messages
    where tie_order = 2
),

superseded as (
    select quote_key, lane
    from (
        select
            l.quote_key,
            l.lane,
            row_number() over (
                partition by l.lane, l.at_ns, {{ quoter('l') }} order by l.tie_order desc
            ) as place
        from laned as l
        inner join crowded as c on l.instrument_id = c.instrument_id and l.at_ns = c.at_ns
        where l.tie_order > 0
    ) as ranked
    where place > 1
),

latest as (
    select l.*
    from laned as l
    where not exists (
        select 1 from superseded as s where l.quote_key = s.quote_key and l.lane = s.lane
    )
),

-- Where a message starts a new price, the moment; null where it goes on with the one before.
changes as (
    select
        *,
        lead(at_ns) over lane_in_order as next_ns,
        lead(bid_price > 0 and not {{ own_crossed() }}) over lane_in_order as is_bid_next,
        lead(offer_price > 0 and not {{ own_crossed() }}) over lane_in_order as is_offer_next,
        {% for side in ['bid', 'offer'] %}
            case
                when {{ side }}_since_ns is not null then {{ side }}_since_ns
                when lag({{ side }}_price) over lane_in_order = {{ side }}_price
                    and lag(expires_ns) over lane_in_order >= at_ns then null
                else at_ns
            end as {{ side }}_start_ns {{- ',' if not loop.last }}
        {% endfor %}
    from latest
    window lane_in_order as (partition by lane, {{ quoter() }} order by at_ns, tie_order)
)
{% endmacro %}


{# A dealer's own crossed or locked quote; consolidated and exchange feeds may show such states. #}
{% macro own_crossed() -%}
    (feed_kind = 'dealer' and bid_price > 0 and offer_price > 0 and bid_price >= offer_price)
{%- endmacro %}


{# Does anybody quote one side at a time, and does a dealer? Only then are lanes needed, and can one
   side's quote make the other side's invalid. The answer saves time and changes no row. #}
{% macro has_one_sided(condition='true') %}
    {% if not execute or model.resource_type != 'model' or flags.WHICH not in ['build', 'run'] %}
        {% do return(true) %}
    {% endif %}
    {% set found = run_query(
        "select count(*) from " ~ ref('quotes') ~ " where side is not null and " ~ condition
    ) %}
    {% do return(found.columns[0].values()[0] > 0) %}
{% endmacro %}

{# Lives with those of one-sided dealers split where their own bid and offer cross or uncross: the
   tail of a query, after CTE `lives`. Quoters get numbers and lives are cut as moments and ends
   alone, which sort many times faster than whole rows. #}
{% macro validated_lives() %}
{% if not has_one_sided("feed_kind = 'dealer'") %}
select * exclude (lane) from lives
{% else %}
select * exclude (lane) from lives where lane = 0 or feed_kind <> 'dealer'
union all by name
select * from (
    with numbered as (
        select *, row_number() over () as quoter
        from (select distinct {{ quoter() }} from lives where lane <> 0 and feed_kind = 'dealer') as known
    ),

    own as (
        select l.* exclude (lane), n.quoter
        from lives as l
        inner join numbered as n on {{ same_quoter('l', 'n') }}
        where l.lane <> 0
    ),

    moments as (
        select
            quoter,
            at_ns,
            {% for side in ['bid', 'offer'] %}
                max(life_ns) filter (where side = '{{ side | upper }}') as {{ side }}_life_ns,
                max(to_ns) filter (where side = '{{ side | upper }}') as {{ side }}_to_ns,
                max(price) filter (where side = '{{ side | upper }}') as {{ side }}_price {{- ',' if not loop.last }}
            {% endfor %}
        from (
            select quoter, side, from_ns as at_ns, from_ns as life_ns, to_ns, price from own
            union all
            select quoter, side, to_ns, null, null, null from own
        ) as turns
        group by quoter, at_ns
    ),

    states as (
        select
            quoter,
            at_ns,
            {% for side in ['bid', 'offer'] %}{% for column in ['life_ns', 'to_ns', 'price'] %}
                {{ last_known(side ~ '_' ~ column) }} over so_far as {{ side }}_{{ column }},
            {% endfor %}{% endfor %}
            1 as one
        from moments
        window so_far as (partition by quoter order by at_ns rows unbounded preceding)
    ),

    pieces as (
        select
            s.quoter,
            d.side,
            s.at_ns,
            case when d.side = 'BID' then s.bid_life_ns else s.offer_life_ns end as life_ns,
            case when d.side = 'BID' then s.bid_to_ns else s.offer_to_ns end as life_to_ns,
            coalesce(
                s.at_ns >= s.bid_to_ns or s.at_ns >= s.offer_to_ns or s.bid_price < s.offer_price, true
            ) as is_valid
        from states as s
        cross join (values ('BID'), ('OFFER')) as d (side)
        where s.at_ns < case when d.side = 'BID' then s.bid_to_ns else s.offer_to_ns end
    ),

    turned as (
        select
            *,
            (lag(life_ns) over in_order is distinct from life_ns)
            or lag(is_valid) over in_order <> is_valid as is_turn
        from pieces
        window in_order as (partition by quoter, side order by at_ns)
    ),

    cuts as (
        select
            *,
            lead(at_ns) over in_order as next_ns,
            lead(life_ns) over in_order as next_life_ns,
            lead(is_valid) over in_order as is_next_valid
        from turned
        where is_turn
        window in_order as (partition by quoter, side order by at_ns)
    )

    select
        l.* exclude (quoter) replace (
            c.at_ns as from_ns,
            case when c.next_life_ns = c.life_ns then c.next_ns else l.to_ns end as to_ns,
            c.is_valid as is_valid,
            coalesce(
                case when c.next_life_ns = c.life_ns then c.next_ns else l.to_ns end = c.next_ns
                and c.is_next_valid,
                false
            ) as is_followed
        )
    from own as l
    inner join cuts as c
        on l.quoter = c.quoter and l.side = c.side and l.from_ns = c.life_ns
) as validated
{% endif %}
{% endmacro %}
