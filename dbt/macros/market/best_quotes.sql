{#
    Best bid and offer from the lives of quotes (analytics.md 9), in one pass over the moments at
    which a quote starts or ends.

    Every quoter of an instrument gets a place. A row of `moments` is what happened at one place;
    the state of a moment is the last thing that happened at each place. With few places each has
    columns of its own, and who is at the best is kept as bits of a number, a bit per place, until
    only the rows are left at which something changed. With many, each moment gets a row per place.
#}


{# Rows of best bid and offer. `own` are the lives of the hours asked for, `before` those and the
   lives of the hour before each; `kind` is F or I; `venue` makes a state per venue of the feeds
   that are not consolidated; `places` is the number of columns per side, 0 for rows per place. #}
{% macro best_quotes(own, before, places, kind='F', venue=false) %}
{%- set instrument = 'instrument_id, venue' if venue else 'instrument_id' -%}
{%- set part = instrument ~ ', event_hour' -%}
{%- set hour_ns = ns_of('event_hour') -%}
{%- set wanted = "quote_type = '" ~ kind ~ "' and is_valid"
    ~ (" and feed_kind <> 'consolidated' and venue is not null" if venue else '') -%}
with quoters as (
    select
        *,
        row_number() over (
            partition by {{ instrument }} order by dealer_id, source, quoted_at
        ) as place
    from (
        select distinct {{ instrument }}, source, quoted_at, dealer_id
        from {{ before }}
        where {{ wanted }}
    ) as known
),

turns as not materialized (
    select
        {{ part }}, source, quoted_at, dealer_id, side, from_ns as at_ns, price,
        coalesce(size, cast(-1 as decimal(28, 8))) as size, since_ns
    from {{ own }}
    where {{ wanted }}
    union all
    select {{ part }}, source, quoted_at, dealer_id, side, to_ns,
        cast(0 as decimal(18, 9)), null, null
    from {{ own }}
    where {{ wanted }} and not is_followed and to_ns < {{ hour_ns }} + 3600000000000
    union all
    -- What was in force just before an hour says whether its first state is a new one.
    select
        {{ instrument }}, event_hour + interval 1 hour, source, quoted_at, dealer_id, side,
        to_ns - s.step, case when s.step = 1 then price else cast(0 as decimal(18, 9)) end,
        case when s.step = 1 then coalesce(size, cast(-1 as decimal(28, 8))) end, case when s.step = 1 then since_ns end
    from {{ before }}
    cross join (values (0), (1)) as s (step)
    where {{ wanted }} and to_ns = {{ hour_ns }} + 3600000000000
),

moments as (
    select
        {{ part | replace('venue', 't.venue') | replace('instrument_id', 't.instrument_id') }},
        t.at_ns,
        q.place,
        {% for side in ['bid', 'offer'] %}
            max(t.price) filter (where t.side = '{{ side | upper }}') as {{ side }},
            max(t.size) filter (where t.side = '{{ side | upper }}') as {{ side }}_size,
            max(t.since_ns) filter (where t.side = '{{ side | upper }}') as {{ side }}_since
            {{- ',' if not loop.last }}
        {% endfor %}
    from turns as t
    inner join quoters as q
        on t.instrument_id = q.instrument_id and t.source = q.source
        and t.quoted_at = q.quoted_at and t.dealer_id = q.dealer_id
        {{ 'and t.venue = q.venue' if venue }}
    group by {{ part | replace('venue', 't.venue') | replace('instrument_id', 't.instrument_id') }}, t.at_ns, q.place
),

{% if places %}{{ tops_by_columns(part, places) }}{% else %}{{ tops_by_rows(part, venue) }}{% endif %},

{% set told = ['best_bid', 'best_offer', 'bid_mask', 'offer_mask', 'bid_size', 'offer_size'] %}
followed as (
    select
        *
        {% for column in told %}
            , lag({{ column }}) over in_order as last_{{ column }}
        {% endfor %}
    from tops
    window in_order as (partition by {{ part }} order by at_ns)
),

compared as (
    select
        *,
        {% for column in told %}
            ({{ column }} is distinct from last_{{ column }}) {{ 'or' if not loop.last }}
        {% endfor %} as is_new
    from followed
),

lasting as (
    select
        *,
        coalesce(lead(at_ns) over in_order, {{ hour_ns }} + 3600000000000) as valid_to_ns
    from compared
    where is_new or at_ns = {{ hour_ns }}
    window in_order as (partition by {{ part }} order by at_ns)
),

shown as (
    select * from lasting
    where at_ns >= {{ hour_ns }} and (best_bid is not null or best_offer is not null)
),

{{ names_of_masks(instrument, places) }}
{% endmacro %}


{# CTEs up to `tops`, the state of every moment, with columns per place. #}
{% macro tops_by_columns(part, places) %}
states as (
    select
        {{ part }},
        at_ns,
        {% for side in ['bid', 'offer'] %}{% for k in range(1, places + 1) %}
            nullif({{ last_known('case when place = ' ~ k ~ ' then ' ~ side ~ ' end') }} over so_far, 0)
                as {{ side }}_{{ k }},
            {{ last_known('case when place = ' ~ k ~ ' then ' ~ side ~ '_size end') }} over so_far
                as {{ side }}_size_{{ k }},
            {{ last_known('case when place = ' ~ k ~ ' then ' ~ side ~ '_since end') }} over so_far
                as {{ side }}_since_{{ k }},
        {% endfor %}{% endfor %}
        lead(at_ns) over in_order as next_ns
    from moments
    window
        so_far as (partition by {{ part }} order by at_ns, place rows unbounded preceding),
        in_order as (partition by {{ part }} order by at_ns, place)
),

best as (
    select
        *,
        {{ greatest_of(places, 'bid_{k}') }} as best_bid,
        {{ least_of(places, 'offer_{k}') }} as best_offer
    from states
    where next_ns is null or next_ns > at_ns
),

sized as (
    select
        *,
        {% for side in ['bid', 'offer'] %}{% set at_best = side ~ '_{k} = best_' ~ side %}
            {{ of_places(places, 'case when ' ~ side ~ '_{k} is not null then {bit} else 0 end', ' + ') }}
                as {{ side }}_live,
            {{ of_places(places, 'case when ' ~ at_best ~ ' then {bit} else 0 end', ' + ') }}
                as {{ side }}_mask,
            {{ of_places(
                places, 'case when ' ~ at_best ~ ' then greatest(' ~ side ~ '_size_{k}, 0) else 0 end', ' + '
            ) }} as {{ side }}_sum,
            {{ greatest_of(places, 'case when ' ~ at_best ~ ' then ' ~ side ~ '_size_{k} end') }}
                as {{ side }}_largest,
            {{ least_of(places, 'case when ' ~ at_best ~ ' then ' ~ side ~ '_since_{k} end') }}
                as {{ side }}_oldest {{- ',' if not loop.last }}
        {% endfor %}
    from best
),

led as (
    select
        *,
        {% for side in ['bid', 'offer'] %}
            {{ greatest_of(
                places, 'case when ' ~ side ~ '_{k} = best_' ~ side ~ ' and ' ~ side ~ '_since_{k} = '
                ~ side ~ '_oldest then ' ~ side ~ '_size_{k} end'
            ) }} as {{ side }}_heaviest {{- ',' if not loop.last }}
        {% endfor %}
    from sized
),

tops as (
    select
        {{ part }},
        at_ns,
        {% for side in ['bid', 'offer'] %}
            best_{{ side }},
            {{ side }}_live,
            {{ side }}_mask,
            case when {{ side }}_largest >= 0 then cast({{ side }}_sum as decimal(38, 8)) end as {{ side }}_size,
            case
                {{ of_places(
                    places, 'when ' ~ side ~ '_{k} = best_' ~ side ~ ' and ' ~ side ~ '_since_{k} = ' ~ side
                    ~ '_oldest and ' ~ side ~ '_size_{k} = ' ~ side ~ '_heaviest then {bit}', ' '
                ) }}
            end as {{ side }}_lead {{- ',' if not loop.last }}
        {% endfor %}
    from led
)
{% endmacro %}


{# The same with a row per moment and place: for many quoters. The masks are the names. #}
{% macro tops_by_rows(part, venue) %}
{%- set same = 'a.instrument_id = m.instrument_id and a.event_hour = m.event_hour'
    ~ (' and a.venue = m.venue' if venue else '') -%}
{%- set of_a = 'a.instrument_id, ' ~ ('a.venue, ' if venue else '') ~ 'a.event_hour' -%}
held as (
    select
        {{ of_a }},
        a.at_ns,
        p.place,
        q.dealer_id,
        {% for side in ['bid', 'offer'] %}
            nullif({{ last_known('m.' ~ side) }} over so_far, 0) as {{ side }},
            {{ last_known('m.' ~ side ~ '_size') }} over so_far as {{ side }}_size,
            {{ last_known('m.' ~ side ~ '_since') }} over so_far as {{ side }}_since {{- ',' if not loop.last }}
        {% endfor %}
    from (select distinct {{ part }}, at_ns from moments) as a
    inner join (select distinct {{ part }}, place from moments) as p on {{ same | replace('m.', 'p.') }}
    inner join quoters as q
        on a.instrument_id = q.instrument_id and p.place = q.place
        {{ 'and a.venue = q.venue' if venue }}
    left join moments as m on {{ same }} and a.at_ns = m.at_ns and p.place = m.place
    window so_far as (partition by {{ of_a }}, p.place order by a.at_ns rows unbounded preceding)
),

best as (
    select
        *,
        max(bid) over (partition by {{ part }}, at_ns) as best_bid,
        min(offer) over (partition by {{ part }}, at_ns) as best_offer
    from held
),

tops as (
    select
        {{ part }},
        at_ns,
        {% for side in ['bid', 'offer'] %}
            {% set at_best = 'filter (where ' ~ side ~ ' = best_' ~ side ~ ')' %}
            max(best_{{ side }}) as best_{{ side }},
            count(distinct dealer_id) filter (where {{ side }} is not null) as {{ side }}_live,
            {{ joined_text('dealer_id') }} {{ at_best }} as {{ side }}_mask,
            count(distinct dealer_id) {{ at_best }} as {{ side }}_count,
            case
                when max({{ side }}_size) {{ at_best }} >= 0
                    then cast(sum(greatest({{ side }}_size, 0)) {{ at_best }} as decimal(38, 8))
            end as {{ side }}_size,
            min_by(dealer_id, ({{ side }}_since, -{{ side }}_size, place)) {{ at_best }} as {{ side }}_lead
            {{- ',' if not loop.last }}
        {% endfor %}
    from best
    group by {{ part }}, at_ns
)
{% endmacro %}


{# The tail: the rows of CTE `shown` with the names of who is at the best. #}
{% macro names_of_masks(instrument, places) %}
{%- set columns = ['bid_live', 'bid_mask', 'bid_lead', 'offer_live', 'offer_mask', 'offer_lead'] -%}
{% if places %}
masks as (
    {% for column in columns %}
        select {{ instrument }}, cast({{ column }} as bigint) as mask from shown {{ 'union' if not loop.last }}
    {% endfor %}
),

named as (
    select
        m.instrument_id,
        {{ 'm.venue,' if 'venue' in instrument }}
        m.mask,
        count(distinct q.dealer_id) as dealers,
        {{ joined_text('q.dealer_id') }} as names
    from masks as m
    inner join quoters as q
        on m.instrument_id = q.instrument_id {{ 'and m.venue = q.venue' if 'venue' in instrument }}
        and (m.mask & cast(power(2, q.place - 1) as bigint)) <> 0
    group by m.instrument_id, {{ 'm.venue,' if 'venue' in instrument }} m.mask
),
{% endif %}

told as (
    select
        s.*,
        {% for side in ['bid', 'offer'] %}
            {% if places %}
                coalesce({{ side }}_mask_names.dealers, 0) as n_{{ side }}_dealers,
                coalesce({{ side }}_live_names.dealers, 0) as n_live_{{ side }}_dealers,
                {{ side }}_mask_names.names as {{ side }}_dealers,
                {{ side }}_lead_names.names as {{ side }}_leader {{- ',' if not loop.last }}
            {% else %}
                s.{{ side }}_count as n_{{ side }}_dealers,
                s.{{ side }}_live as n_live_{{ side }}_dealers,
                s.{{ side }}_mask as {{ side }}_dealers,
                s.{{ side }}_lead as {{ side }}_leader {{- ',' if not loop.last }}
            {% endif %}
        {% endfor %}
    from shown as s
    {% for column in columns if places %}
        left join named as {{ column }}_names
            on s.instrument_id = {{ column }}_names.instrument_id and s.{{ column }} = {{ column }}_names.mask
            {{ 'and s.venue = ' ~ column ~ '_names.venue' if 'venue' in instrument }}
    {% endfor %}
),

dated as (
    select *, {{ session_date() }} as session_date
    from (select *, {{ calendar_of() }} as calendar from told) as known
)

select
    t.instrument_id,
    {{ 't.venue,' if 'venue' in instrument }}
    t.event_hour,
    t.calendar,
    t.session_date,
    {{ session_type('t.at_ns') }} as session_type,
    t.at_ns as valid_from_ns,
    t.valid_to_ns,
    {{ timestamp_of('t.at_ns') }} as valid_from,
    {{ timestamp_of('t.valid_to_ns') }} as valid_to,
    t.is_new as starts_state,
    t.best_bid,
    t.best_offer,
    t.bid_size,
    t.offer_size,
    cast(t.n_bid_dealers as integer) as n_bid_dealers,
    cast(t.n_offer_dealers as integer) as n_offer_dealers,
    cast(t.n_live_bid_dealers as integer) as n_live_bid_dealers,
    cast(t.n_live_offer_dealers as integer) as n_live_offer_dealers,
    t.bid_dealers,
    t.offer_dealers,
    t.bid_leader,
    t.offer_leader,
    t.best_bid is not null and t.best_offer is not null as is_two_sided,
    coalesce(t.best_bid = t.best_offer, false) as is_locked,
    coalesce(t.best_bid > t.best_offer, false) as is_crossed,
    coalesce(t.best_bid < t.best_offer, false) as is_valid
from dated as t
inner join {{ ref('sessions') }} as s on t.calendar = s.calendar and t.session_date = s.session_date
{% endmacro %}


{# How many columns per side the quoters of this build need, 0 where they are too many for that. #}
{% macro places_of(intervals, kind='F') %}
    {% if not execute or model.resource_type != 'model' or flags.WHICH not in ['build', 'run'] %}
        {% do return(8) %}
    {% endif %}
    {% set found = run_query(
        "select coalesce(max(n), 1) from (select count(*) as n from (select distinct instrument_id, "
        ~ "source, quoted_at, dealer_id from " ~ intervals ~ " where quote_type = '" ~ kind
        ~ "' and is_valid) as quoters group by instrument_id) as counted"
    ) %}
    {% set count = found.columns[0].values()[0] | int %}
    {% do return(count if count <= var('pivoted_quoters') else 0) %}
{% endmacro %}


{# A pattern for each place: {k} is its number, {bit} its bit. #}
{% macro of_places(count, pattern, separator=', ') -%}
    {%- for k in range(1, count + 1) -%}
        {{ pattern | replace('{k}', k | string) | replace('{bit}', (2 ** (k - 1)) | string) }}
        {{- separator if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro greatest_of(count, pattern) -%}
    {{ 'greatest' if count > 1 }}({{ of_places(count, pattern) }})
{%- endmacro %}

{% macro least_of(count, pattern) -%}
    {{ 'least' if count > 1 }}({{ of_places(count, pattern) }})
{%- endmacro %}


{# An aggregate: the distinct texts, sorted, with commas between. #}
{% macro joined_text(expression) -%}
    string_agg(distinct {{ expression }}, ',' order by {{ expression }})
{%- endmacro %}
