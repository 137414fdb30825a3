{{ config(by=['landed_hour']) }}

-- seen = passed + filtered + rejected, per commit and unit of order messages (analytics.md 23.1).
-- A type that the contract takes and this model does not know opens the account. A replayed message
-- is seen a second time, in a line of its own (`is_replay`).
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
),

counted as (
    select
        batch,
        unit,
        count(*) filter (where verdict = 'ok' and msg_type = 'T') as trade_rows,
        count(*) filter (where verdict = 'ok' and msg_type = 'A') as add_rows,
        count(*) filter (where verdict = 'ok' and msg_type = 'C') as cancel_rows,
        count(*) filter (where verdict = 'ok' and msg_type = 'M') as modify_rows,
        count(*) filter (where verdict = 'ok' and msg_type = 'F') as fill_rows,
        count(*) filter (where verdict = 'ok' and msg_type = 'R') as clear_rows,
        count(*) filter (where verdict = 'rejected') as rejected_rows,
        count(*) filter (where reject_code = 'UNKNOWN_MSG_TYPE') as unknown_type_rows
    from {{ landed_rows('orders', is_whole()) }}
    group by all
),

decided as (
    select
        *,
        trade_rows as passed_rows,
        add_rows + cancel_rows + modify_rows + fill_rows + clear_rows as filtered_rows
    from counted
)

select
    c.unit,
    c.batch,
    c.version,
    c.landed_hour,
    {{ is_replay('c.unit') }} as is_replay,
    c.consumed as seen_rows,
    coalesce(d.trade_rows, 0) as trade_rows,
    coalesce(d.add_rows, 0) as add_rows,
    coalesce(d.cancel_rows, 0) as cancel_rows,
    coalesce(d.modify_rows, 0) as modify_rows,
    coalesce(d.fill_rows, 0) as fill_rows,
    coalesce(d.clear_rows, 0) as clear_rows,
    coalesce(d.passed_rows, 0) as passed_rows,
    coalesce(d.filtered_rows, 0) as filtered_rows,
    coalesce(d.rejected_rows, 0) as rejected_rows,
    coalesce(d.unknown_type_rows, 0) as unknown_type_rows,
    c.consumed - coalesce(d.passed_rows, 0) - coalesce(d.filtered_rows, 0)
    - coalesce(d.rejected_rows, 0) as difference
from commits as c
left join decided as d on c.batch = d.batch and c.unit = d.unit
where c.dataset = 'orders'
