{{ config(by=['event_hour'], reach={'gold.pnl': 'from_hour', 'gold.trader_pnl': 'from_hour'}) }}

-- Every change of state of a limit: OK, WARN, BREACH, with what caused it.
with standing as (
    {% if is_carried() %}
        select trader_id, coalesce(instrument_id, '') as held, limit_name, state_to, event_ts_ns, tie_order
        from {{ before_scope(this) }}
    {% else %}
        {{ no_limit_state() }}
    {% endif %}
),

carried as (
    {{ latest_per('standing', ['trader_id', 'held', 'limit_name']) }}
),

moves as (
    select * from {{ from_scope_on(ref('pnl')) }}
),

moments as (
    select * from {{ from_scope_on(ref('trader_pnl')) }}
),

measured as (
    {{ limit_values('moves', 'moments', 'carried') }}
),

signals as (
    {{ limit_signals('measured', 'carried') }}
),

states as (
    select
        *,
        case
            when {{ last_known('is_breach') }} over so_far then 'BREACH'
            when {{ last_known('is_warn') }} over so_far then 'WARN'
            else 'OK'
        end as state_to
    from signals
    window so_far as (
        partition by trader_id, held, limit_name order by event_ts_ns, tie_order
        rows between unbounded preceding and current row
    )
),

followed as (
    select
        *,
        coalesce(
            lag(state_to) over (partition by trader_id, held, limit_name order by event_ts_ns, tie_order),
            'OK'
        ) as state_from
    from states
)

select
    trader_id,
    nullif(held, '') as instrument_id,
    limit_name,
    state_from,
    state_to,
    value,
    {{ limit_between('state_from', 'state_to') }} as limit_value,
    event_ts_ns,
    tie_order,
    {{ timestamp_of('event_ts_ns') }} as event_ts,
    event_hour,
    coalesce(trade_key, {{ key_of(["'mark'", 'trader_id', 'held', 'event_ts_ns']) }}) as trigger_key,
    case when trade_key is null then 'mark' else 'fill' end as triggered_by
from followed
where state_from <> state_to and not is_carried and {{ in_scope('followed') }}
