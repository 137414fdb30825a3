{# The steps of a recipe for quotes; an empty list where it has none. Columns: see recipe_quotes.sql.
   Mids are kept doubled (`bid + offer`), so that nothing is divided. #}
{% macro quote_recipe_steps(name) %}
    {% set hours = {
        'step': 'P1', 'rule': 'outside the regular session', 'remove': "session_type <> 'regular'",
    } %}
    {% set zero = {
        'step': 'P2', 'rule': 'a side without price',
        'remove': 'bid is null or offer is null or bid = 0 or offer = 0',
    } %}
    {% set exchange = recipe_one_venue('coalesce(bid_size, 0) + coalesce(offer_size, 0)') %}
    {% set same_time = {
        'step': 'Q1', 'rule': 'quotes of one timestamp become one of median bid and median offer',
        'measures': [[
            'row_number() over (' ~ alive('event_ts_ns') ~ ' order by tie_order desc) as place',
            'count(*) over (' ~ alive('event_ts_ns') ~ ') as together',
            half(twice_median('bid', alive('event_ts_ns'))) ~ ' as middle_bid',
            half(twice_median('offer', alive('event_ts_ns'))) ~ ' as middle_offer',
        ]],
        'remove': 'place > 1',
        'change': {'bid': 'middle_bid', 'offer': 'middle_offer', 'merged_rows': 'together'},
    } %}
    {% set large = ['' ~ twice_median('offer - bid', alive()) ~ ' as twice_spread'] %}
    {% set order = ' order by event_ts_ns, tie_order' %}
    {% set around = neighbours('cast(bid + offer as decimal(28, 10))', alive() ~ order, 25, 25) ~ ' as around' %}
    {% set centre = 'cast(list_sort(around)[(len(around) + 1) // 2] + list_sort(around)[len(around) // 2 + 1]'
        ~ ' as decimal(38, 10)) as centre' %}
    {% if name == 'bn2009' %}
        {% do return([hours, zero, exchange, same_time,
            {'step': 'Q2', 'rule': 'negative spread', 'remove': 'offer < bid'},
            {
                'step': 'Q3', 'rule': 'spread above 50 times the median of the session',
                'measures': [large], 'remove': '2 * (offer - bid) > 50 * twice_spread',
            },
            {
                'step': 'Q4', 'rule': 'mid further than 10 mean absolute deviations from the median of 50 around',
                'measures': [[around], [centre]],
                'remove': 'len(around) >= 25 and abs(2 * (bid + offer) - centre) * len(around) > 10 * '
                    ~ distances('around', 'centre'),
            },
        ]) %}
    {% elif name == 'highfrequency' %}
        {% do return([zero, hours, exchange,
            {'step': 'Q2', 'rule': 'spread not positive', 'remove': 'offer <= bid'},
            {
                'step': 'Q3', 'rule': 'spread at least 50 times the median of the session',
                'measures': [large], 'remove': '2 * (offer - bid) >= 50 * twice_spread',
            },
            same_time,
            {
                'step': 'Q4', 'rule': 'mid at least 10 MAD of the session from the median of 50 around',
                'measures': [
                    [around, twice_median('bid + offer', alive()) ~ ' as day_centre'],
                    [
                        centre,
                        twice_median('abs(2 * (bid + offer) - day_centre)', alive()) ~ ' as twice_mad',
                    ],
                ],
                'remove': 'twice_mad > 0 and abs(2 * (bid + offer) - centre) * 20000 >= 148260 * twice_mad',
            },
        ]) %}
    {% elif name == 'holden_jacobsen' %}
        {% do return([hours,
            {
                'step': 'H1', 'rule': 'a side is withdrawn',
                'remove': 'bid is null or offer is null or bid = 0 or offer = 0',
            },
            {
                'step': 'H2', 'rule': 'of updates of one timestamp the last stands, but on a clock of seconds',
                'measures': [[
                    'row_number() over (' ~ alive('event_ts_ns') ~ ' order by tie_order desc) as place',
                    'count(*) over (' ~ alive('event_ts_ns') ~ ') as together',
                    'bool_and(event_ts_ns % 1000000000 = 0) over (' ~ alive('source') ~ ') as of_seconds',
                ]],
                'remove': 'place > 1 and not of_seconds',
                'change': {'merged_rows': 'case when of_seconds then 1 else together end'},
            },
            interpolated_times(),
            {'step': 'H4', 'rule': 'crossed', 'remove': 'offer < bid'},
        ]) %}
    {% endif %}
    {% do return([]) %}
{% endmacro %}


{# What stands on a side after each quote of its stream: the last price or size that was put there,
   null once it is withdrawn. The marker is a price that no contract lets in. #}
{% macro carried(value, touches, over) -%}
    nullif(
        last_value(case when {{ touches }} then coalesce({{ value }}, cast(-999999999 as decimal(28, 9))) end ignore nulls)
            over {{ over }},
        cast(-999999999 as decimal(28, 9))
    )
{%- endmacro %}


{# The columns of trades `t` with the quote that recipe's own cleaning left at that moment, and where
   from: strictly before the trade (bn2009), at or before it (highfrequency), or none. #}
{% macro with_recipe_quotes(recipe) -%}
    {%- if recipe in ['bn2009', 'highfrequency'] -%}
    t.*, q.bid, q.offer
    from trades as t
    asof left join (
        select instrument_id, session_date, event_ts_ns, bid, offer
        from {{ touched(ref('recipe_quotes')) }}
        where recipe = '{{ recipe }}' and removed_by is null
    ) as q
        on t.instrument_id = q.instrument_id
        and t.session_date = q.session_date
        and t.event_ts_ns {{ '>=' if recipe == 'highfrequency' else '>' }} q.event_ts_ns
    {%- else -%}
    t.*
    from trades as t
    {%- endif -%}
{%- endmacro %}
