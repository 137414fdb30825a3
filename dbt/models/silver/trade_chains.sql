{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'bronze.trades': 'instrument', 'bronze.orders': 'none', 'silver.trade_messages': 'instrument'},
) }}

-- What became of trades that were corrected or cancelled, and of the messages that did it
-- (analytics.md 0.6). A chain is an original, later versions of it, and all messages that lead back
-- to it; its highest version counts, then the first to land.
with recursive messages as (
    select * from {{ touched(ref('trade_messages'), by=['instrument_id']) }}
),

-- From each message back along the ids it refers to; a circle of references ends with its depth.
walked as (
    select trade_key, instrument_id, source, venue, linked_id as root_id, 1 as depth
    from messages
    union all
    select w.trade_key, w.instrument_id, w.source, w.venue, m.linked_id, w.depth + 1
    from walked as w
    inner join messages as m
        on w.instrument_id = m.instrument_id
        and w.source = m.source
        and w.venue is not distinct from m.venue
        and w.root_id = m.trade_id
        and m.linked_id <> m.trade_id
    where w.depth < 100
),

deepest as (
    select trade_key, max_by(root_id, depth) as root_id, max(depth) as depth
    from walked
    group by trade_key
),

rooted as (
    select m.*, d.root_id, d.depth
    from messages as m
    inner join deepest as d on m.trade_key = d.trade_key
),

roots as (
    select distinct instrument_id, source, venue, root_id
    from rooted
),

originals as (
    select
        {{ trade_key('t') }} as trade_key,
        t.*
    from {{ touched(ref('stg_trades'), by=['instrument_id']) }} as t
    inner join roots as r
        on t.instrument_id = r.instrument_id
        and t.source = r.source
        and t.venue is not distinct from r.venue
        and t.trade_id = r.root_id
    where t.status = 'NEW' and t.dedup_rule = 'identity'
    qualify row_number() over (
        partition by {{ trade_key('t') }} order by t.recv_ts_ns nulls last, t.unit, t.position
    ) = 1
),

-- An id may come again in a later session: a message speaks of the last one up to its own.
bound as (
    select r.*, max(o.session_date) as chain_date
    from rooted as r
    left join originals as o
        on r.instrument_id = o.instrument_id
        and r.source = o.source
        and r.venue is not distinct from o.venue
        and r.root_id = o.trade_id
        and r.session_date >= o.session_date
    group by all
),

members as (
    select
        trade_key, instrument_id, source, venue, root_id, chain_date, status,
        coalesce(version, depth + 1) as version, event_ts_ns, event_hour, recv_ts_ns, unit, position
    from bound
    where status <> 'NEW'
    union all
    select
        trade_key, instrument_id, source, venue, trade_id, session_date, status,
        coalesce(version, 1), event_ts_ns, event_hour, recv_ts_ns, unit, position
    from originals
),

ranked as (
    select
        *,
        first_value(trade_key) over chain as winner_key,
        first_value(status) over chain as winner_status,
        count(*) over whole_chain - 1 as events,
        last_value(trade_key) over chain_to_end as root_key,
        last_value(event_ts_ns) over chain_to_end as root_ts_ns
    from members
    window
        whole_chain as (partition by instrument_id, source, venue, root_id, chain_date),
        chain as (
            partition by instrument_id, source, venue, root_id, chain_date
            order by version desc, recv_ts_ns asc nulls last, unit asc, position asc
        ),
        chain_to_end as (
            partition by instrument_id, source, venue, root_id, chain_date
            order by version desc, recv_ts_ns asc nulls last, unit asc, position asc
            rows between unbounded preceding and unbounded following
        )
)

select
    trade_key,
    instrument_id,
    event_hour,
    event_ts_ns,
    {{ key_of(['instrument_id', 'source', 'venue', 'root_id', 'chain_date']) }} as chain_key,
    status,
    version,
    case
        when chain_date is null then 'parked'
        when status = 'CANCEL' then 'applied'
        when winner_status = 'CANCEL' then 'cancelled'
        when trade_key = winner_key then 'current'
        else 'superseded'
    end as state,
    case when chain_date is null then 0 else events end as revision,
    -- How often this event re-opened the second it lies in: all messages count where the original
    -- lies, and a message once more where it lies itself.
    case
        when chain_date is null then 0
        when trade_key = root_key then events
        when event_ts_ns // 1000000000 <> root_ts_ns // 1000000000 then 1
        else 0
    end as reopened
from ranked
where chain_date is null or events > 0
