{#
    Speed candles against batch candles (analytics.md 7). Windows are compared where the speed layer
    follows what trades there, up to where the slowest of those streams had come, less the lateness
    that the width allows.
#}

{# Widths that both layers make, with their seconds. #}
{% macro drift_widths() %}
    {% do return([('1s', 1), ('10s', 10), ('1m', 60)]) %}
{% endmacro %}


{# How far both layers have come with each stream: its newest event. #}
{% macro compared_streams() %}
    select
        p.dataset,
        p.stream,
        least(p.watermark_ns, u.max_event_ts_ns) as reached_ns
    from (
        select dataset, stream, max(watermark_ns) as watermark_ns
        from {{ source('speed', 'progress') }}
        group by dataset, stream
    ) as p
    inner join (
        select dataset, stream, max(max_event_ts_ns) as max_event_ts_ns
        from {{ ref('late_trades_units') }}
        group by dataset, stream
    ) as u on p.dataset = u.dataset and p.stream = u.stream
{% endmacro %}


{# Instruments and hours with the slowest of their streams. `trades` is every landed row, `speed`
   the speed layer's candles: one that nothing landed for is compared, too. #}
{% macro compared_hours(trades, speed, streams) %}
    select
        f.instrument_id,
        f.event_hour,
        min(s.reached_ns) as reached_ns
    from (
        select instrument_id, event_hour, dataset, {{ stream_of('unit') }} as stream
        from (select distinct instrument_id, event_hour, dataset, unit from {{ trades }}) as units
        union
        select instrument_id, event_hour, dataset, stream
        from {{ speed }}
    ) as f
    inner join {{ streams }} as s on f.dataset = s.dataset and f.stream = s.stream
    group by f.instrument_id, f.event_hour
{% endmacro %}


{# Was a window closed on both sides? #}
{% macro is_closed(window, width, seconds, reached) -%}
    ({{ ns_of(window) }} + {{ seconds * 1000000000 }}
        <= {{ reached }} - {{ var('lateness_ms')[width] * 1000000 }})
{%- endmacro %}


{# Closed batch windows of every width. #}
{% macro compared_batch_windows(hours) %}
    {% for width, seconds in drift_widths() %}
        select
            '{{ width }}' as width,
            b.instrument_id, b.venue, b.window_start, b.event_hour,
            b.open, b.high, b.low, b.close, b.volume, b.trade_count
        from {{ touched(ref('candle_windows_' ~ width)) }} as b
        inner join {{ hours }} as h on b.instrument_id = h.instrument_id and b.event_hour = h.event_hour
        where {{ is_closed('b.window_start', width, seconds, 'h.reached_ns') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{% endmacro %}


{# Closed windows of the speed layer. It keeps a candle per stream: of an instrument that trades in
   several the candle is that of all, and its first and last print lie between those of each. #}
{% macro compared_speed_windows(speed, hours) %}
    {% for width, seconds in drift_widths() %}
        select
            '{{ width }}' as width,
            s.instrument_id,
            s.venue,
            s.window_start,
            s.event_hour,
            min(s.open) as open_low,
            max(s.open) as open_high,
            max(s.high) as high,
            min(s.low) as low,
            min(s.close) as close_low,
            max(s.close) as close_high,
            cast(sum(s.volume) as decimal(38, 8)) as volume,
            cast(sum(s.trade_count) as bigint) as trade_count
        from {{ speed }} as s
        inner join {{ hours }} as h on s.instrument_id = h.instrument_id and s.event_hour = h.event_hour
        where
            s.width = '{{ width }}' and s.is_final
            and {{ is_closed('s.window_start', width, seconds, 'h.reached_ns') }}
        group by s.instrument_id, s.venue, s.window_start, s.event_hour
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{% endmacro %}


{# Landed rows of `windows`, each with what made it count in one layer alone (null: it counts in
   both, or in neither). Flags of `late` are those of the width. #}
{% macro rows_behind(windows, trades, late, streams) %}
    {% for width, seconds in drift_widths() %}
        select
            *,
            case
                when is_in_batch = is_in_speed then null
                when is_in_batch then case when is_late then 'late' else 'lost' end
                when state = 'duplicate' then 'duplicate'
                when state <> 'current' then 'correction'
                else 'outlier'
            end as kind
        from (
            select
                w.width, w.instrument_id, w.venue, w.window_start,
                t.state, t.price, t.quantity, t.is_price_eligible, t.is_volume_eligible,
                (t.event_ts_ns - {{ ns_of('w.window_start') }}) * 1048576 + t.tie_order as tie,
                t.is_price_eligible or t.is_volume_eligible as is_eligible,
                coalesce(l.late_{{ width }}, false) as is_late,
                t.state = 'current' and not t.is_left_out as is_in_batch,
                s.stream is not null and not coalesce(l.late_{{ width }}, false) as is_in_speed
            from {{ windows }} as w
            inner join {{ trades }} as t
                on w.instrument_id = t.instrument_id
                and w.event_hour = t.event_hour
                and w.window_start = {{ window_start('t.event_ts_ns', seconds) }}
                and (w.venue = 'ALL' or w.venue = t.venue)
            left join {{ streams }} as s on t.dataset = s.dataset and {{ stream_of('t.unit') }} = s.stream
            left join {{ late }} as l
                on t.dataset = l.dataset and t.unit = l.unit and t.position = l.position
            where w.width = '{{ width }}'
        ) as counted
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{% endmacro %}


{# One price of a speed candle: of two streams' the one that agrees with batch. #}
{% macro nearer(low, high, batch) -%}
    case when {{ high }} = {{ batch }} then {{ high }} else {{ low }} end
{%- endmacro %}


{# By how much a price of the speed candle strays, per cent of batch; null where one has none. #}
{% macro price_drift(speed, batch) -%}
    case
        when {{ speed }} = {{ batch }} then 0
        else {{ ratio('abs(' ~ speed ~ ' - ' ~ batch ~ ')', 'abs(' ~ batch ~ ')') }} * 100
    end
{%- endmacro %}


{# Is that more than the limit? Compared as decimals; a price that one alone has is. #}
{% macro is_price_alert(speed, batch) -%}
    coalesce(
        {{ over_drift_limit('cast(abs(' ~ speed ~ ' - ' ~ batch ~ ') as decimal(38, 9))',
            'cast(abs(' ~ batch ~ ') as decimal(38, 9))') }},
        {{ speed }} is distinct from {{ batch }}
    )
{%- endmacro %}


{# Is a part more than `drift_pct` per cent of the whole? Without a division. #}
{% macro over_drift_limit(part, whole) -%}
    ({{ part }} * 100 > {{ whole }} * cast({{ var('drift_pct') }} as decimal(7, 4)))
{%- endmacro %}
