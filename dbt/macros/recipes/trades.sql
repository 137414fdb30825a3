{# The steps of a recipe for trades; an empty list where it has none. Columns: see recipe_trades.sql. #}
{% macro trade_recipe_steps(name) %}
    {% set hours = {
        'step': 'P1', 'rule': 'outside the regular session', 'remove': "session_type <> 'regular'",
    } %}
    {% set zero = {'step': 'P2', 'rule': 'price of zero', 'remove': 'price = 0'} %}
    {% set corrected = {
        'step': 'T1', 'rule': 'corrected trades', 'remove': "status <> 'NEW' or revision > 0",
    } %}
    {% set exchange = recipe_one_venue('quantity') %}
    {% set same_time = {
        'step': 'T3', 'rule': 'trades of one timestamp become one at their median price',
        'measures': [[
            'row_number() over (' ~ alive('event_ts_ns') ~ ' order by tie_order) as place',
            'sum(quantity) over (' ~ alive('event_ts_ns') ~ ') as total',
            'count(*) over (' ~ alive('event_ts_ns') ~ ') as together',
            half(twice_median('price', alive('event_ts_ns'))) ~ ' as middle',
        ]],
        'remove': 'place > 1',
        'change': {
            'price': 'middle', 'quantity': 'cast(total as decimal(38, 8))', 'merged_rows': 'together',
        },
    } %}
    {% set beyond_quote = {
        'step': 'T4', 'rule': 'above offer + spread or below bid - spread',
        'remove': 'price > 2 * offer - bid or price < 2 * bid - offer',
    } %}
    {% if name == 'bn2009' %}
        {% do return([hours, zero, exchange, corrected, {
            'step': 'T2', 'rule': 'abnormal sale condition: a letter besides E and F',
            'remove': has_other_conditions("regexp_matches({}, '[A-DG-Z]')", '30000021'),
        }, same_time, beyond_quote]) %}
    {% elif name == 'highfrequency' %}
        {% do return([zero, hours, exchange, corrected, {
            'step': 'T2', 'rule': 'sale condition is none of blank, @, E, @E, F, FI, @F, @FI, I, @I',
            'remove': has_other_conditions(
                "{} not in ('', '@', 'E', '@E', 'F', 'FI', '@F', '@FI', 'I', '@I')", 'B0000021'
            ),
        }, same_time, beyond_quote]) %}
    {% elif name == 'brownlees_gallo' %}
        {% do return([hours, zero, trimmed_outliers()]) %}
    {% elif name == 'holden_jacobsen' %}
        {% do return([hours, interpolated_times()]) %}
    {% elif name == 'sip_conditions' %}
        {% do return([
            {
                'step': 'S1', 'rule': 'updates neither volume nor price',
                'remove': 'not is_volume_eligible and not is_price_eligible',
            },
            {'step': 'S2', 'rule': 'updates volume alone', 'remove': 'not is_price_eligible'},
        ]) %}
    {% elif name == 'dick_nielsen' %}
        {% do return(dick_nielsen_steps()) %}
    {% elif name == 'luld' %}
        {% do return([hours] + price_band_steps()) %}
    {% endif %}
    {% do return([]) %}
{% endmacro %}


{# One venue alone: variable `recipe_venue`, or the one with the most of `size` in the session. #}
{% macro recipe_one_venue(size) %}
    {% if var('recipe_venue') != 'auto' %}
        {% do return({
            'step': 'P3', 'rule': 'not of venue ' ~ var('recipe_venue'),
            'remove': "venue is distinct from '" ~ var('recipe_venue') ~ "'",
        }) %}
    {% endif %}
    {% do return({
        'step': 'P3', 'rule': 'not of the venue with the largest size of the session',
        'measures': [
            ['sum(' ~ size ~ ') over (' ~ alive('venue') ~ ') as venue_size'],
            ['first_value(venue) over (' ~ alive() ~ ' order by venue_size desc, venue nulls last) as chosen'],
        ],
        'remove': 'venue is distinct from chosen',
    }) %}
{% endmacro %}


{# Are there conditions besides some? `in_text` is SQL that says so of SIP letters, with {} for them
   (blanks and commas left out); `flags` are the LEAN flags that are allowed, in hexadecimal: regular 1,
   intermarket sweep 20 (F), automatic execution 10000000 (E), trade-through exempt 20000000 (no
   condition), odd lot 80000000 (I). #}
{% macro has_other_conditions(in_text, flags) -%}
    case
        when conditions is null then false
        when condition_form = 'lean'
            then ({{ hex_of('conditions') }} & ~{{ hex_of("'" ~ flags ~ "'") }}) <> 0
        else {{ in_text | replace('{}', "replace(replace(conditions, ' ', ''), ',', '')") }}
    end
{%- endmacro %}


{# Brownlees and Gallo: further from the trimmed mean of 60 neighbours than 3 deviations + 2 ticks. #}
{% macro trimmed_outliers() %}
    {% set over = alive() ~ ' order by event_ts_ns, tie_order' %}
    {% do return({
        'step': 'BG', 'rule': 'further than 3 s + 2 ticks from the 10 % trimmed mean of 60 neighbours',
        'measures': [
            [neighbours('cast(price as decimal(18, 9))', over, 30, 30) ~ ' as around'],
            [trimmed('around', 0.05) ~ ' as kept'],
            [
                'cast(len(kept) as bigint) as n',
                'cast(list_sum(kept) as decimal(38, 9)) as total',
                'cast(list_sum(list_transform(kept, lambda x: x * x)) as decimal(38, 18)) as squares',
            ],
        ],
        'remove': 'n >= 2 and abs(price * n - total) / n >= 3 * sqrt(greatest(cast(n * squares as double)'
            ~ ' - cast(total as double) * cast(total as double), 0) / (n * (n - 1.0))) + 2 * tick_size',
    }) %}
{% endmacro %}


{# Holden and Jacobsen: where a feed's clock ticks in seconds, the k-th of n events of a second is put
   at (2k - 1) / 2n of it. Removes nothing. #}
{% macro interpolated_times() %}
    {% do return({
        'step': 'H3', 'rule': 'events of a clock of seconds are spread over their second; none is removed',
        'measures': [[
            'bool_and(event_ts_ns % 1000000000 = 0) over (' ~ alive('source') ~ ') as of_seconds',
            'row_number() over (' ~ alive('source, event_ts_ns') ~ ' order by tie_order) as place',
            'count(*) over (' ~ alive('source, event_ts_ns') ~ ') as together',
        ]],
        'remove': 'false',
        'change': {
            'clean_ts_ns': 'case when of_seconds then event_ts_ns + (2 * place - 1) * 500000000 // together'
                ~ ' else clean_ts_ns end',
        },
    }) %}
{% endmacro %}


{# Dick-Nielsen: reports that were taken back, and trades that both parties reported. #}
{% macro dick_nielsen_steps() %}
    {% set twin = 'event_ts_ns, price, quantity' %}
    {% do return([
        {
            'step': 'D1', 'rule': 'cancelled on the day of the trade, and the message that did it',
            'remove': "chain_end = 'CANCEL' and not is_reversed",
        },
        {
            'step': 'D2', 'rule': 'replaced by a correction, and messages without an original',
            'remove': "state in ('superseded', 'parked', 'applied') and not is_reversed",
        },
        {
            'step': 'D3', 'rule': 'reversed on a later day, and the message that did it',
            'remove': 'is_reversed',
        },
        {
            'step': 'D4', 'rule': 'the buy report of a trade that its seller reported as well',
            'measures': [
                ['row_number() over (' ~ alive(twin ~ ', side') ~ ' order by tie_order) as nth'],
                [
                    'count(*) filter (where side = \'S\') over (' ~ alive(twin ~ ', nth') ~ ') as sells',
                    'min(coalesce(trader_id, source)) over (' ~ alive(twin ~ ', nth') ~ ') as one_party',
                    'max(coalesce(trader_id, source)) over (' ~ alive(twin ~ ', nth') ~ ') as other_party',
                ],
            ],
            'remove': "side = 'B' and sells > 0 and one_party <> other_party",
        },
    ]) %}
{% endmacro %}


{# Limit up - limit down and clearly erroneous: against the median of up to 50 prints before, then
   against the mean of the five minutes before. Without a print before there is no reference. #}
{% macro price_band_steps() %}
    {% set prior = alive() ~ ' order by event_ts_ns, tie_order rows between 50 preceding and 1 preceding' %}
    {% set minutes = alive()
        ~ ' order by event_ts_ns range between 300000000000 preceding and 1 preceding' %}
    {% set is_wide = 'event_ts_ns < regular_open_ns + 900000000000'
        ~ ' or event_ts_ns >= regular_close_ns - 1500000000000' %}
    {% do return([
        {
            'step': 'L1', 'rule': 'clearly erroneous: 10 % to 25, 5 % to 50, 3 % above, of the median before',
            'measures': [[twice_median('price', prior) ~ ' as reference']],
            'remove': 'abs(2 * price - reference) * 100 > reference * case when reference <= 50 then 10'
                ~ ' when reference <= 100 then 5 else 3 end',
        },
        {
            'step': 'L2', 'rule': 'outside the price band of the mean of 5 minutes, tier 1',
            'measures': [
                [
                    'sum(price) over (' ~ minutes ~ ') as total', 'count(*) over (' ~ minutes ~ ') as n',
                    'case when ' ~ is_wide ~ ' then 2 else 1 end as widened',
                ],
                [
                    'case when n > 0 then case when total > 3 * n then 0.05 * total'
                    ~ ' when total >= 0.75 * n then 0.20 * total'
                    ~ ' else least(0.75 * total, 0.15 * n) end end as band',
                ],
            ],
            'remove': 'abs(price * n - total) > band * widened',
        },
    ]) %}
{% endmacro %}
