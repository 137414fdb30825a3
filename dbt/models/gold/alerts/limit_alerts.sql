{{ config(by=['event_hour'], reach={'gold.limit_transitions': 'hour'}) }}

-- A limit that was passed (analytics.md 14): every step up, from OK to WARN and on to BREACH, is an
-- alert of its own; the way down is none.
with triggers as (
    select
        'limit' as rule,
        'positions' as dataset,
        concat_ws(
            '/', trader_id, coalesce(instrument_id, ''), limit_name, state_to, event_ts_ns, trigger_key
        ) as key,
        instrument_id,
        cast(null as varchar) as venue,
        cast(null as date) as session_date,
        trader_id,
        limit_name || ' ' || state_to as severity,
        value,
        limit_value as threshold,
        null as reference,
        event_ts_ns,
        event_ts_ns as until_ns,
        trigger_key
    from {{ touched(ref('limit_transitions')) }}
    where state_to = 'BREACH' or (state_to = 'WARN' and state_from = 'OK')
)

select * from ({{ alerts_from('triggers', trader='trader_id') }}) as alerts
