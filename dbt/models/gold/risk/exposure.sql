{{ config(by=['event_hour'], reach={'gold.pnl': 'from_hour'}) }}

-- Exposure and P&L by trader, by instrument, by segment and in all at the end of every minute in
-- which one of the positions changed: over the latest state of each, never over their history.
with earlier as (
    select * from {{ before_scope(ref('pnl')) }}
),

states as (
    select *, false as is_carried from {{ from_scope_on(ref('pnl')) }}
    union all
    select *, true as is_carried from ({{ latest_per('earlier', ['trader_id', 'instrument_id']) }})
),

changes as (
    {{ risk_changes('states') }}
),

minutes as (
    select
        {{ window_start('event_ts_ns', 60) }} as window_start,
        event_hour,
        trader_id,
        instrument_id,
        coalesce(nullif(segment, ''), 'unknown') as market_segment,
        {% for column in risk_measures() %}
            sum({{ column }}_change) as {{ column }}_change{{ ',' if not loop.last }}
        {% endfor %}
    from changes
    group by 1, 2, 3, 4, 5
),

levels as (
    {% for level, key in [
        ('trader', 'trader_id'), ('instrument', 'instrument_id'), ('segment', 'market_segment'), ('total', "''"),
    ] %}
        select
            '{{ level }}' as level,
            {{ key }} as level_key,
            window_start,
            event_hour,
            {% for column in risk_measures() %}
                sum({{ column }}_change) as {{ column }}_change{{ ',' if not loop.last }}
            {% endfor %}
        from minutes
        group by 1, 2, 3, 4
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    level,
    level_key,
    window_start,
    event_hour,
    {% for column in risk_measures() %}
        cast(
            sum({{ column }}_change) over (partition by level, level_key order by window_start)
            as {{ 'bigint' if column == 'open_positions' else 'decimal(38, 12)' }}
        ) as {{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from levels
qualify {{ in_scope('levels') }}
