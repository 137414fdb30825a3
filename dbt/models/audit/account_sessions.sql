{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'gold.candles_1h': 'session', 'gold.candles_1d': 'session'},
) }}

-- hours = day, per instrument, venue, scope and session: what the hourly candles of a session add up
-- to against its daily candle, in trades, volume and notional.
with hourly as (
    select *, {{ calendar_of() }} as calendar from {{ touched(ref('candles_1h')) }}
),

hours as (
    select
        instrument_id, venue, session_scope, session_date, {{ session_start() }} as event_hour,
        sum(trade_count) as n, sum(volume) as quantity, sum(notional) as notional
    from hourly
    group by all
),

days as (
    select
        instrument_id, venue, session_scope, session_date, event_hour,
        sum(trade_count) as n, sum(volume) as quantity, sum(notional) as notional
    from {{ touched(ref('candles_1d')) }}
    group by all
)

select
    coalesce(h.instrument_id, d.instrument_id) as instrument_id,
    coalesce(h.venue, d.venue) as venue,
    coalesce(h.session_scope, d.session_scope) as session_scope,
    coalesce(h.session_date, d.session_date) as session_date,
    coalesce(h.event_hour, d.event_hour) as event_hour,
    {% for measure, column, kind in amounts() %}
        cast(coalesce(h.{{ column }}, 0) as {{ kind }}) as hours_{{ measure }},
        cast(coalesce(d.{{ column }}, 0) as {{ kind }}) as day_{{ measure }},
    {% endfor %}
    cast(coalesce(h.n, 0) - coalesce(d.n, 0) as bigint) as difference,
    cast(coalesce(h.quantity, 0) - coalesce(d.quantity, 0) as decimal(38, 8)) as quantity_difference,
    cast(coalesce(h.notional, 0) - coalesce(d.notional, 0) as decimal(38, 12)) as notional_difference
from hours as h
full join days as d
    on h.instrument_id = d.instrument_id
    and h.venue = d.venue
    and h.session_scope = d.session_scope
    and h.session_date = d.session_date
    and h.event_hour = d.event_hour
