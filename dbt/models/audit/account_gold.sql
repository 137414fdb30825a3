{{ config(by=['instrument_id', 'event_hour']) }}

-- silver = gold, per instrument, venue and hour: rows, quantity and notional.
with silver as (
    select
        'candles_1s' as account, instrument_id, event_hour, null as venue,
        count(*) as n, sum(quantity) as quantity, sum(notional) as notional
    from {{ touched(ref('trades')) }}
    group by all
    union all
    select 'candles_1s', instrument_id, event_hour, venue, count(*), sum(quantity), sum(notional)
    from {{ touched(ref('trades')) }}
    where venue is not null
    group by all
    union all
    select 'enriched_trades', instrument_id, event_hour, null, count(*), sum(quantity), sum(notional)
    from {{ touched(ref('trades')) }}
    group by all
    union all
    select 'enriched_quotes', instrument_id, event_hour, null, count(*), 0, 0
    from {{ touched(ref('quotes')) }}
    group by all
),

gold as (
    select
        'candles_1s' as account, instrument_id, event_hour,
        nullif(venue, 'ALL') as venue, sum(trade_count) as n,
        sum(volume) as quantity, sum(notional) as notional
    from {{ touched(ref('candles_1s')) }}
    group by all
    union all
    select 'enriched_trades', instrument_id, event_hour, null, count(*), sum(quantity), sum(notional)
    from {{ touched(ref('enriched_trades')) }}
    group by all
    union all
    select 'enriched_quotes', instrument_id, event_hour, null, count(*), 0, 0
    from {{ touched(ref('enriched_quotes')) }}
    group by all
)

select
    coalesce(s.account, g.account) as account,
    coalesce(s.instrument_id, g.instrument_id) as instrument_id,
    coalesce(s.venue, g.venue, 'ALL') as venue,
    coalesce(s.event_hour, g.event_hour) as event_hour,
    coalesce(s.n, 0)::bigint as silver_rows,
    coalesce(g.n, 0)::bigint as gold_rows,
    coalesce(s.quantity, 0)::decimal(38, 8) as silver_quantity,
    coalesce(g.quantity, 0)::decimal(38, 8) as gold_quantity,
    coalesce(s.notional, 0)::decimal(38, 12) as silver_notional,
    coalesce(g.notional, 0)::decimal(38, 12) as gold_notional,
    (coalesce(s.n, 0) - coalesce(g.n, 0))::bigint as difference,
    (coalesce(s.quantity, 0) - coalesce(g.quantity, 0))::decimal(38, 8) as quantity_difference,
    (coalesce(s.notional, 0) - coalesce(g.notional, 0))::decimal(38, 12) as notional_difference
from silver as s
full join gold as g
    on s.account = g.account
    and s.instrument_id = g.instrument_id
    and s.event_hour = g.event_hour
    and coalesce(s.venue, 'ALL') = coalesce(g.venue, 'ALL')
