{#
    How well a trade was done (analytics.md 11): against the best quote in force strictly before it,
    and against the mid some time after it.
#}

{# The moment whose quotes a trade is compared with: its own, strictly before. Sources named in
   variable `allow_equal_ts` take a quote of the same nanosecond too; `quote_lag_ms` looks earlier. #}
{% macro reference_ns(t='t') -%}
    {{ t }}.event_ts_ns
    {%- if var('quote_lag_ms') %} - {{ var('quote_lag_ms') }} * 1000000{% endif %}
    {%- if var('allow_equal_ts') %} + case when {{ t }}.source in ({{ quoted_list(var('allow_equal_ts')) }}) then 1 else 0 end{% endif %}
{%- endmacro %}


{# Best quotes with `began_ns`: states are cut at the hour; one that merely continues began with the
   last of the hour before, and is null if it stands longer. #}
{% macro begun_states(best) %}
    with last_starts as (
        select
            instrument_id,
            event_hour + interval 1 hour as event_hour,
            max(valid_from_ns) as began_ns
        from {{ best }}
        where starts_state
        group by 1, 2
    )

    select b.*, case when b.starts_state then b.valid_from_ns else s.began_ns end as began_ns
    from {{ best }} as b
    left join last_starts as s
        on not b.starts_state and b.instrument_id = s.instrument_id and b.event_hour = s.event_hour
{% endmacro %}


{# What the best quote in force says of itself as a reference for a trade. A quote that ended less
   than an hour ago is STALE; whether an older one ever was is not looked for. #}
{% macro quote_status(q='q', moment='reference_ns') -%}
    case
        when {{ q }}.valid_to_ns >= {{ moment }} then case
            when {{ q }}.best_bid is null or {{ q }}.best_offer is null then 'ONE_SIDED'
            when {{ q }}.best_bid = {{ q }}.best_offer then 'LOCKED'
            when {{ q }}.best_bid > {{ q }}.best_offer then 'CROSSED'
            else 'OK'
        end
        when {{ moment }} - {{ q }}.valid_to_ns < 3600000000000 then 'STALE'
        else 'NONE'
    end
{%- endmacro %}


{# A ratio in DOUBLE: one division; null where there is nothing to divide by. #}
{% macro ratio(part, whole) -%}
    cast({{ part }} as double) / nullif(cast({{ whole }} as double), 0)
{%- endmacro %}


{# A price difference in basis points of the mid, given twice the mid. #}
{% macro bps_of_mid(difference, twice_mid) -%}
    {{ ratio('(' ~ difference ~ ') * 20000', twice_mid) }}
{%- endmacro %}


{# The horizons of realized spread and price impact, seconds. #}
{% macro horizons() %}
    {% do return([1, 5, 60, 300]) %}
{% endmacro %}


{# Text that names the size class of a quantity, by variable `size_buckets` (lower bounds). #}
{% macro size_bucket(quantity='quantity', calendar='calendar') -%}
    case
        {%- for name, bounds in var('size_buckets').items() if name != 'default' %}
        when {{ calendar }} = '{{ name }}' then {{ bucket_of(quantity, bounds) }}
        {%- endfor %}
        else {{ bucket_of(quantity, var('size_buckets')['default']) }}
    end
{%- endmacro %}


{% macro bucket_of(quantity, bounds) -%}
    case
        when {{ quantity }} < {{ bounds[0] }} then '<{{ bounds[0] }}'
        {%- for bound in bounds[1:] %}
        when {{ quantity }} < {{ bound }} then '{{ bounds[loop.index0] }}-{{ bound }}'
        {%- endfor %}
        else '>={{ bounds[-1] }}'
    end
{%- endmacro %}


{# The quantity-weighted sum of a per-trade figure, exact where it is a decimal. A product beyond 10^19
   does not fit and is left out: one absurd record must not stop every build. #}
{% macro weighted_sum(value, quantity='quantity', is_ratio=false) -%}
    sum(case
        when abs(cast({{ value }} as double)) * cast({{ quantity }} as double) < 1e19
            then {% if is_ratio -%}
                cast(cast({{ value }} as double) * cast({{ quantity }} as double) as decimal(38, 18))
            {%- else -%}
                cast(cast({{ value }} as decimal(38, 9)) * {{ quantity }} as decimal(38, 17))
            {%- endif %}
    end)
{%- endmacro %}


{# +1 where the initiator bought by the side that was stated, -1 where it sold. A source whose
   `side_perspective` is reporter states the side of the dealer who reports, the other one (D07). #}
{% macro stated_direction(t) -%}
    {%- set reporters = [] -%}
    {%- for source, whose in var('side_perspective').items() -%}
        {%- if whose not in ['initiator', 'reporter'] -%}
            {%- do exceptions.raise_compiler_error(
                "variable side_perspective says '" ~ whose ~ "' of " ~ source
                ~ "; a source states the side of its initiator or of its reporter"
            ) -%}
        {%- endif -%}
        {%- if whose == 'reporter' -%}{%- do reporters.append(source) -%}{%- endif -%}
    {%- endfor -%}
    {%- set initiator_bought = "case " ~ t ~ ".side when 'B' then 1 when 'S' then -1 end" -%}
    {%- if reporters -%}
        {{ initiator_bought }} * case when {{ t }}.source in ({{ quoted_list(reporters) }}) then -1 else 1 end
    {%- else -%}
        {{ initiator_bought }}
    {%- endif -%}
{%- endmacro %}


{# Trades with their `direction` (+1 buyer-initiated, -1 seller-initiated) and what told it: the
   reported SIDE, else Lee and Ready: the QUOTE test, and at the mid the TICK rule (sign of the last
   price change of the session among the same trades; the first counts as a buy). Without a side and
   without a valid quote it is null. The tick rule costs two sorts and is run only where needed. #}
{% macro directed(trades) %}
    with undecided as (
        select distinct instrument_id, session_date
        from {{ trades }}
        where side is null and quote_status = 'OK' and twice_price = twice_mid
    ),

    moves as (
        select
            t.trade_key, t.instrument_id, t.session_date, t.event_ts_ns, t.tie_order,
            nullif(sign(t.price - lag(t.price) over (
                partition by t.instrument_id, t.session_date order by t.event_ts_ns, t.tie_order
            )), 0) as move
        from {{ trades }} as t
        inner join undecided as u
            on t.instrument_id = u.instrument_id and t.session_date = u.session_date
    ),

    ticks as (
        select
            trade_key,
            coalesce({{ last_known('move') }} over so_far, 1) as tick
        from moves
        window so_far as (
            partition by instrument_id, session_date order by event_ts_ns, tie_order
            rows between unbounded preceding and current row
        )
    )

    select
        t.*,
        cast(case
            when t.side is not null then {{ stated_direction('t') }}
            when t.quote_status <> 'OK' then null
            when t.twice_price <> t.twice_mid then sign(t.twice_price - t.twice_mid)
            else k.tick
        end as integer) as direction,
        case
            when t.side is not null then 'SIDE'
            when t.quote_status <> 'OK' then null
            when t.twice_price <> t.twice_mid then 'QUOTE'
            else 'TICK'
        end as direction_by
    from {{ trades }} as t
    left join ticks as k on t.trade_key = k.trade_key
{% endmacro %}


{# For every moment of `trades`: twice the mid in force at each horizon after it, `twice_mid_<n>s`,
   null where no two-sided quote lives then. Narrow rows go through the joins, not whole trades. #}
{% macro later_mids(trades, mids) %}
    {%- set moments -%}
        (
            select distinct instrument_id, event_ts_ns
            {%- for s in horizons() %}, event_ts_ns + {{ s }}000000000 as at_{{ s }}s{% endfor %}
            from {{ trades }}
        )
    {%- endset %}
    {%- for s in horizons() %}
    {{ 'with' if loop.first }} after_{{ s }}s as (
        {{ as_of(
            moments if loop.first else 'after_' ~ loop.previtem ~ 's', mids, 'valid_from_ns',
            {'valid_to_ns': 'until_' ~ s ~ 's', 'twice_mid': 'mid_' ~ s ~ 's'}, at='at_' ~ s ~ 's',
        ) }}
    ){{ ',' if not loop.last }}
    {%- endfor %}

    select
        instrument_id,
        event_ts_ns
        {%- for s in horizons() %},
        case when until_{{ s }}s > at_{{ s }}s then mid_{{ s }}s end as twice_mid_{{ s }}s
        {%- endfor %}
    from after_{{ horizons() | last }}s
{% endmacro %}


{# Two columns of a price difference: in currency, and in basis points of the mid at the trade. #}
{% macro difference(name, of=none) -%}
    cast({{ of or name }} as decimal(21, 9)) as {{ name }},
    {{ bps_of_mid(of or name, 'twice_mid') }} as {{ name }}_bps
{%- endmacro %}


{# Names of the price differences that trade_quality measures, in currency and in bps. #}
{% macro quality_measures() %}
    {% set names = ['quoted_spread', 'effective_spread', 'price_improvement'] %}
    {% for s in horizons() %}
        {% do names.append('realized_spread_' ~ s ~ 's') %}
        {% do names.append('price_impact_' ~ s ~ 's') %}
    {% endfor %}
    {% do return(names) %}
{% endmacro %}


{# Two columns: the mean of a per-trade figure over trades, and weighted by quantity. #}
{% macro means(name, is_ratio=false) -%}
    {{ ratio('sum(' ~ ('try_cast(' ~ name ~ ' as decimal(38, 18))' if is_ratio else name) ~ ')', 'count(' ~ name ~ ')') }} as mean_{{ name }},
    {{ ratio(weighted_sum(name, is_ratio=is_ratio), 'sum(quantity) filter (where ' ~ name ~ ' is not null)') }} as vw_{{ name }}
{%- endmacro %}


{# Per cent of the rows that know `known` for which a condition holds. #}
{% macro percentage(condition, known) -%}
    {{ ratio('count(*) filter (where ' ~ condition ~ ') * 100', 'count(' ~ known ~ ')') }}
{%- endmacro %}


{# E/Q of many trades: the ratio of the sums. #}
{% macro effective_over_quoted() -%}
    {{ ratio('sum(effective_spread)', 'sum(quoted_spread) filter (where effective_spread is not null)') }}
{%- endmacro %}
