{{ config(
    by=['landed_hour'],
    reach={
        'ledger.commits': 'hour_and_next',
        'silver.late_trades_units': 'hour_and_next',
        'silver.late_trades_watermarks': 'hour_and_next',
    },
) }}

-- Trades that arrived after newer ones (analytics.md 6), judged as they landed. Append-only: what
-- lands later changes nothing here. The watermark is taken before the row itself counts.
with commits as (
    select * from {{ touched(source('ledger', 'commits')) }}
    where dataset in ('trades', 'orders')
),

segments as (
    {{ landed_segments('commits') }}
),

carry as (
    {{ units_before('segments') }}
),

states as (
    {{ segments_with_state('segments', 'carry') }}
),

hours_before as (
    select
        dataset, stream, landed_hour,
        max(watermark_ns) over (
            partition by dataset, stream order by landed_hour
            rows between unbounded preceding and 1 preceding
        ) as watermark_ns
    from {{ ref('late_trades_watermarks') }}
),

started as (
    select
        s.dataset, s.batch, s.landed_unit, s.unit, s.landed_hour, s.version,
        t.own_before_ns, t.others_ns,
        greatest(
            coalesce(h.watermark_ns, {{ no_watermark() }}),
            coalesce(max({{ reached_after('s.max_event_ts_ns', 't.own_before_ns', 't.others_ns') }}) over (
                partition by s.dataset, s.stream, s.landed_hour order by s.version, s.unit
                rows between unbounded preceding and 1 preceding
            ), {{ no_watermark() }})
        ) as watermark_ns
    from segments as s
    inner join states as t
        on s.dataset = t.dataset and s.stream = t.stream and s.version = t.version and s.unit = t.unit
    left join hours_before as h
        on s.dataset = h.dataset and s.stream = h.stream and s.landed_hour = h.landed_hour
),

landed as not materialized (
    {{ landed_trades(
        ['trade_id', 'instrument_id', 'venue', 'quantity'],
        ['msg_id as trade_id', 'instrument_id', 'venue', 'quantity'],
    ) }}
),

followed as (
    select
        g.*, l.position, l.event_ts_ns,
        greatest(g.own_before_ns, max(l.event_ts_ns) over (
            partition by g.dataset, g.version, g.landed_unit order by l.position
            rows between unbounded preceding and 1 preceding
        )) as unit_max_ns
    from started as g
    inner join landed as l
        on g.dataset = l.dataset and g.batch = l.batch and g.landed_unit = l.unit
),

judged as (
    select
        *,
        -- a unit that begins holds the watermark for its own first row, too: it never goes back
        case when unit_max_ns is null then watermark_ns else greatest(watermark_ns, least(unit_max_ns, others_ns)) end
            as seen_ns
    from followed
)

select
    j.landed_hour,
    j.dataset,
    j.unit,
    j.position,
    l.trade_id,
    l.instrument_id,
    l.venue,
    l.quantity,
    j.event_ts_ns,
    {{ timestamp_of('j.event_ts_ns') }} as event_ts,
    {{ window_start('j.event_ts_ns', 3600) }} as event_hour,
    greatest(j.unit_max_ns, j.seen_ns) as max_seen_ns,
    j.seen_ns as watermark_ns,
    cast(greatest(j.unit_max_ns, j.seen_ns) - j.event_ts_ns as double) / 1000000 as lateness_ms,
    coalesce(j.event_ts_ns < j.unit_max_ns, false) as is_out_of_order,
    {% for width, seconds in [('1s', 1), ('10s', 10), ('1m', 60), ('1h', 3600)] %}
        {{ is_late('j.event_ts_ns', 'j.seen_ns', width, seconds) }} as late_{{ width }},
    {% endfor %}
    {{ is_late_for_session('l.instrument_id', 'j.event_ts_ns', 'j.seen_ns') }} as late_1d,
    greatest(j.unit_max_ns, j.seen_ns) - j.event_ts_ns > 86400000000000 as is_backfill
from judged as j
inner join landed as l
    on j.dataset = l.dataset and j.batch = l.batch and j.landed_unit = l.unit and j.position = l.position
where
    j.event_ts_ns < j.unit_max_ns
    or {{ is_late('j.event_ts_ns', 'j.seen_ns', '1s', 1) }}
