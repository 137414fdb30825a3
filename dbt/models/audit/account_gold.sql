{{ config(by=['instrument_id', 'event_hour']) }}

-- silver = gold + excluded by reason, per instrument, venue and hour: rows, quantity and notional.
-- Candles leave out trades that may not add to volume, and outliers.
with trades as (
    select
        *,
        case
            when is_outlier and {{ var('exclude_outliers') | lower }} then 'OUTLIER'
            when not is_volume_eligible then 'NOT_VOLUME_ELIGIBLE'
        end as excluded_by
    from {{ touched(ref('trades')) }}
),

silver as (
    {% for venue in ["'ALL'", 'venue'] %}
        select
            'candles_1s' as account, instrument_id, event_hour, {{ venue }} as venue,
            count(*) as n, sum(quantity) as quantity, sum(notional) as notional,
            count(*) filter (where excluded_by = 'OUTLIER') as outlier_rows,
            count(*) filter (where excluded_by = 'NOT_VOLUME_ELIGIBLE') as not_volume_eligible_rows,
            sum(quantity) filter (where excluded_by is not null) as excluded_quantity,
            sum(notional) filter (where excluded_by is not null) as excluded_notional
        from trades
        where {{ venue }} is not null
        group by all
        union all
    {% endfor %}
    select
        'enriched_trades', instrument_id, event_hour, 'ALL', count(*), sum(quantity), sum(notional),
        0, 0, 0, 0
    from trades
    group by all
    union all
    select 'enriched_quotes', instrument_id, event_hour, 'ALL', count(*), 0, 0, 0, 0, 0, 0
    from {{ touched(ref('quotes')) }}
    group by all
),

gold as (
    select
        'candles_1s' as account, instrument_id, event_hour,
        venue, sum(trade_count) as n,
        sum(volume) as quantity, sum(notional) as notional
    from {{ touched(ref('candle_windows_1s')) }}
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

select
    coalesce(s.account, g.account) as account,
    coalesce(s.instrument_id, g.instrument_id) as instrument_id,
    coalesce(s.venue, g.venue) as venue,
    coalesce(s.event_hour, g.event_hour) as event_hour,
    cast(coalesce(s.n, 0) as bigint) as silver_rows,
    cast(coalesce(g.n, 0) as bigint) as gold_rows,
    cast(coalesce(s.outlier_rows, 0) as bigint) as outlier_rows,
    cast(coalesce(s.not_volume_eligible_rows, 0) as bigint) as not_volume_eligible_rows,
    cast(coalesce(s.quantity, 0) as decimal(38, 8)) as silver_quantity,
    cast(coalesce(g.quantity, 0) as decimal(38, 8)) as gold_quantity,
    cast(coalesce(s.excluded_quantity, 0) as decimal(38, 8)) as excluded_quantity,
    cast(coalesce(s.notional, 0) as decimal(38, 12)) as silver_notional,
    cast(coalesce(g.notional, 0) as decimal(38, 12)) as gold_notional,
    cast(coalesce(s.excluded_notional, 0) as decimal(38, 12)) as excluded_notional,
    cast(
        coalesce(s.n, 0) - coalesce(g.n, 0) - coalesce(s.outlier_rows, 0)
        - coalesce(s.not_volume_eligible_rows, 0) as bigint
    ) as difference,
    cast(
        coalesce(s.quantity, 0) - coalesce(g.quantity, 0) - coalesce(s.excluded_quantity, 0)
        as decimal(38, 8)
    ) as quantity_difference,
    cast(
        coalesce(s.notional, 0) - coalesce(g.notional, 0) - coalesce(s.excluded_notional, 0)
        as decimal(38, 12)
    ) as notional_difference
from silver as s
full join gold as g
    on s.account = g.account
    and s.instrument_id = g.instrument_id
    and s.event_hour = g.event_hour
    and s.venue = g.venue
