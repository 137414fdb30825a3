{{ config(by=['instrument_id', 'event_hour']) }}

with trades as (
    select
        'trades' as flow, instrument_id, venue, event_hour, session_date, event_ts_ns, quantity,
        case direction when 1 then 'B' else 'S' end as side
    from {{ touched(ref('trade_quality')) }}
    where direction is not null
),

landed as not materialized (
    select
        *,
        case
            when sequence is not null then 'sequence'
            when delivery_unit is not null then 'content'
            else 'position'
        end as dedup_rule
    from {{ touched(ref('stg_book_updates'), dates='event_date') }}
    where order_type in ('LIMIT', 'MARKET')
),

updates as (
    select
        'book_updates' as flow, u.instrument_id, u.venue, u.event_hour, u.session_date,
        u.event_ts_ns, u.quantity, u.side
    from ({{ distinct_updates('landed') }}) as u
    inner join {{ ref('sessions') }} as s on u.calendar = s.calendar and u.session_date = s.session_date
    where {{ session_type('u.event_ts_ns') }} = 'regular'
),

flows as (
    select
        flow,
        instrument_id,
        case when grouping(venue) = 1 then 'ALL' else venue end as venue,
        event_hour,
        session_date,
        window_start,
        coalesce(sum(quantity) filter (where side = 'B'), 0) as bought,
        coalesce(sum(quantity) filter (where side = 'S'), 0) as sold,
        count(*) as event_count
    from (
        select *, {{ window_start('event_ts_ns', 60) }} as window_start
        from (
            select * from trades
            union all
            select * from updates
        ) as both_flows
    ) as events
    group by flow, instrument_id, event_hour, session_date, window_start, cube(venue)
    having grouping(venue) = 1 or venue is not null
)

select
    instrument_id,
    event_hour,
    session_date,
    venue,
    window_start,
    flow,
    cast(bought as decimal(38, 8)) as buy_volume,
    cast(sold as decimal(38, 8)) as sell_volume,
    event_count,
    {{ ratio('bought', 'bought + sold') }} as buy_share,
    {{ ratio('bought - sold', 'bought + sold') }} as signed_imbalance,
    100 * greatest(bought, sold) > {{ var('order_flow_pct') }} * (bought + sold)
    and bought + sold >= {{ var('order_flow_min_volume') }}
    and event_count >= {{ var('order_flow_min_events') }} as is_alert
from flows
