{{ config(by=['instrument_id', 'event_hour'], reach={'gold.fills': 'from_hour'}) }}

-- Every trader's position of an instrument after each of his fills. A new session of a generated
-- feed starts a new one. Cost carries the position's sign, so realized = cash + cost.
with fills as (
    select * from {{ from_scope_on(ref('fills')) }}
),

standing as (
    {% if is_carried() %}select * from {{ before_scope(this) }}{% else %}{{ no_position() }}{% endif %}
),

carried as (
    {% if is_carried() %}
        {{ latest_per('standing', ['trader_id', 'instrument_id', 'session_id']) }}
    {% else %}
        select * from standing
    {% endif %}
),

costs as (
    {{ average_cost('fills', 'carried') }}
),

states as (
    select
        f.*,
        k.cost,
        k.average_cost,
        coalesce(c.quantity_after, 0) + sum(f.signed_quantity) over since_seed as quantity_after,
        coalesce(c.fees_so_far, 0) + sum(f.fees) over since_seed as fees_so_far,
        coalesce(c.cash, 0)
        - sum(case f.side when 'B' then f.notional else -f.notional end + f.fees) over since_seed as cash,
        k.cost - coalesce(lag(k.cost) over since_seed, c.cost, 0) as cost_change
    from fills as f
    inner join costs as k on f.trade_key = k.trade_key
    left join carried as c
        on f.trader_id = c.trader_id and f.instrument_id = c.instrument_id and f.session_id = c.session_id
    window since_seed as (
        partition by f.trader_id, f.instrument_id, f.session_id order by f.event_ts_ns, f.tie_order
    )
)

select
    trade_key,
    trader_id,
    instrument_id,
    session_id,
    market_segment,
    event_ts_ns,
    tie_order,
    event_ts,
    event_hour,
    calendar,
    session_date,
    signed_quantity,
    price,
    price_multiplier,
    notional,
    fees,
    cast(cost_change - case when signed_quantity > 0 then notional else -notional end as decimal(38, 12))
        as realized_by_fill,
    cast(quantity_after as decimal(28, 8)) as quantity_after,
    average_cost,
    cost,
    cast(cash as decimal(38, 12)) as cash,
    cast(fees_so_far as decimal(38, 12)) as fees_so_far,
    cast(cash + cost as decimal(38, 12)) as realized_pnl
from states
where {{ in_scope('states') }}
