{{ config(
    enabled=active_recipes('trades') | length > 0,
    by=['instrument_id', 'event_hour'],
    reach={
        'silver.trades_history': 'session',
        'silver.trade_chains': 'session',
        'silver.security_versions': 'session',
        'gold.recipe_quotes': 'session',
    },
) }}

-- Every trade with what each recipe did to it (analytics.md 25).
with chains as (
    select
        trade_key,
        max(case when state = 'current' then 'CURRENT' else 'CANCEL' end) over chain as chain_end,
        max(case when status = 'CANCEL' then {{ session_date('event_hour', calendar_of()) }} end) over chain
        > min({{ session_date('event_hour', calendar_of()) }}) over chain as ends_later
    from {{ touched(ref('trade_chains'), by=['instrument_id']) }}
    where state <> 'parked'
    window chain as (partition by chain_key)
),

trades as (
    select
        t.trade_key, t.instrument_id, t.event_hour, t.session_date, t.session_type, t.source, t.venue,
        t.event_ts_ns, t.event_ts_ns as clean_ts_ns, t.tie_order, t.price as raw_price,
        t.quantity as raw_quantity, cast(t.price as decimal(28, 10)) as price,
        cast(t.quantity as decimal(38, 8)) as quantity, cast(1 as bigint) as merged_rows, t.side, t.trader_id,
        t.conditions, coalesce(f.condition_form, 'sip') as condition_form, t.status, t.state, t.revision,
        t.is_price_eligible, t.is_volume_eligible, s.regular_open_ns, s.regular_close_ns,
        coalesce(v.tick_size, {{ var('recipe_tick_size') }}) as tick_size,
        c.chain_end, coalesce(c.chain_end = 'CANCEL' and c.ends_later, false) as is_reversed
    from {{ touched(ref('trades_history')) }} as t
    left join {{ ref('sessions') }} as s on t.calendar = s.calendar and t.session_date = s.session_date
    left join {{ ref('feeds') }} as f on t.source = f.source and t.dataset = f.dataset
    left join {{ touched(ref('security_versions'), by=['instrument_id']) }} as v
        on t.security_sk = v.security_sk
    left join chains as c on t.trade_key = c.trade_key
    where t.state <> 'duplicate'
),

{% for recipe in active_recipes('trades') %}
    {{ recipe }}_input as (
        select
            '{{ recipe }}' as recipe,
            {{ recipe_versions()[recipe] }} as recipe_version,
            {{ with_recipe_quotes(recipe) }}
        {% if recipe != 'dick_nielsen' %} where t.state = 'current' {% endif %}
    ),

    {{ recipe }} as (
        select * from {{ recipe_chain(recipe ~ '_input', trade_recipe_steps(recipe)) }}
    ){{ ',' if not loop.last }}
{% endfor %}

{% for recipe in active_recipes('trades') %}
    select
        recipe, cast(recipe_version as integer) as recipe_version, trade_key, instrument_id, source, venue,
        event_hour, session_date, event_ts_ns, clean_ts_ns, tie_order, side, raw_price, raw_quantity, price,
        quantity, merged_rows, removed_by
    from {{ recipe }}
    {{ 'union all' if not loop.last }}
{% endfor %}
