{{ config(by=['instrument_id', 'event_hour'], reach={'silver.trade_gaps': 'session'}) }}

-- Nothing traded for longer than gap_alert_ms within the regular session (analytics.md 4).
with triggers as (
    select
        'trade_gap' as rule,
        'trades' as dataset,
        instrument_id as key,
        instrument_id,
        'ALL' as venue,
        session_date,
        'GAP' as severity,
        gap_ms as value,
        threshold_ms as threshold,
        null as reference,
        gap_end_ns as event_ts_ns,
        gap_end_ns as until_ns,
        next_trade_key as trigger_key
    from {{ touched(ref('trade_gaps')) }}
    where gap_kind = 'trade' and threshold_ms = {{ var('gap_alert_ms') }}
)

select * from ({{ alerts_from('triggers') }}) as alerts
