{{ config(by=['instrument_id', 'event_hour']) }}

-- silver = gold + excluded by reason, per table of gold, instrument, venue and hour: rows, quantity
-- and notional. Candles, of whatever width, leave out trades that may not add to volume, and outliers.
{% set reasons = ['outlier', 'not_volume_eligible'] %}
{% set widths = ['1s', '10s', '1m'] %}

with trades as (
    select
        *,
        case
            when is_outlier and {{ var('exclude_outliers') | lower }} then 'outlier'
            when not is_volume_eligible then 'not_volume_eligible'
        end as excluded_by
    from {{ touched(ref('trades')) }}
),

traded as (
    {% for venue in ["'ALL'", 'venue'] %}
        select
            instrument_id, event_hour, {{ venue }} as venue,
            count(*) as n, sum(quantity) as quantity, sum(notional) as notional,
            {{ sums_by_reason(reasons) }}
        from trades
        where {{ venue }} is not null
        group by all
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

silver as (
    select c.account, t.*
    from traded as t
    cross join (
        values ('candles_1s'), ('candles_10s'), ('candles_1m'), ('candles_1h')
    ) as c (account)
    union all
    select
        'enriched_trades', instrument_id, event_hour, venue, n, quantity, notional,
        0, 0, 0, 0, 0, 0
    from traded
    where venue = 'ALL'
    union all
    select
        'enriched_quotes', instrument_id, event_hour, 'ALL', count(*), 0, 0,
        0, 0, 0, 0, 0, 0
    from {{ touched(ref('quotes')) }}
    group by all
),

gold as (
    {% for width in widths %}
        select
            'candles_{{ width }}' as account, instrument_id, event_hour, venue,
            sum(trade_count) as n, sum(volume) as quantity, sum(notional) as notional
        from {{ touched(ref('candle_windows_' ~ width)) }}
        group by all
        union all
    {% endfor %}
    select
        'candles_1h', instrument_id, event_hour, venue, sum(trade_count), sum(volume), sum(notional)
    from {{ touched(ref('candles_1h')) }}
    where session_scope = 'all'
    group by all
    union all
    select 'enriched_trades', instrument_id, event_hour, 'ALL', count(*), sum(quantity), sum(notional)
    from {{ touched(ref('enriched_trades')) }}
    group by all
    union all
    select 'enriched_quotes', instrument_id, event_hour, 'ALL', count(*), 0, 0
    from {{ touched(ref('enriched_quotes')) }}
    group by all
)

{{ silver_against_gold('silver', 'gold', reasons) }}
