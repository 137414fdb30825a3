{#
    Market alerts (analytics.md 14-16). A rule finds triggers; triggers of one key that are at most
    alert_episode_seconds apart are one episode, and an episode is one alert. Its id is made of the
    rule, the key and the start of the episode: found again, it has the same id; when its start
    changes, the old id is gone.

    All rules have one shape, that of contracts/alerts.py and what an episode adds.
#}

{# What one rule or another fills, beside the columns that all fill: name -> type. #}
{% macro alert_details() %}
    {% do return({
        'price': 'decimal(18, 9)', 'prev_price': 'decimal(18, 9)', 'price_change_pct': 'double',
        'volume': 'decimal(38, 8)', 'avg_volume': 'double', 'z_score': 'double',
        'buy_volume': 'decimal(38, 8)', 'sell_volume': 'decimal(38, 8)', 'imbalance': 'double',
        'buy_venue': 'varchar', 'sell_venue': 'varchar',
        'buy_price': 'decimal(18, 9)', 'sell_price': 'decimal(18, 9)',
        'edge_bps': 'double', 'profit': 'decimal(38, 12)', 'net_profit': 'decimal(38, 12)',
    }) %}
{% endmacro %}


{# Alerts from a rule's `triggers`, a relation with
     rule, dataset        which rule, over which records
     key                  what it watches: triggers of different keys are never one episode
     instrument_id, venue, session_date, severity, value, threshold, reference
     event_ts_ns          when the rule held; until_ns, until when (the same, for a moment)
     trigger_key          the record or window; decides between equals
   and the details named in `filled`. An alert shows its strongest trigger, the first of equals. #}
{% macro alerts_from(triggers, filled=[], trader='cast(null as varchar)') %}
    with reached as (
        select
            *,
            max(until_ns) over (
                partition by rule, key, session_date order by event_ts_ns, trigger_key
                rows between unbounded preceding and 1 preceding
            ) as reached_ns
        from {{ triggers }}
    ),

    numbered as (
        select
            *,
            sum(case when event_ts_ns - reached_ns <= {{ var('alert_episode_seconds') * 1000000000 }} then 0 else 1 end) over (
                partition by rule, key, session_date order by event_ts_ns, trigger_key
                rows between unbounded preceding and current row
            ) as episode
        from reached
    ),

    ranked as (
        select
            *,
            min(event_ts_ns) over (partition by rule, key, session_date, episode) as start_ns,
            max(until_ns) over (partition by rule, key, session_date, episode) as end_ns,
            count(*) over (partition by rule, key, session_date, episode) as triggers,
            row_number() over (
                partition by rule, key, session_date, episode
                order by abs(value) desc, event_ts_ns, trigger_key
            ) as place
        from numbered
    )

    select
        {{ key_of(['rule', 'key', 'start_ns']) }} as alert_id,
        rule,
        dataset,
        instrument_id,
        venue,
        {{ trader }} as trader_id,
        start_ns as event_ts_ns,
        {{ timestamp_of('start_ns') }} as event_ts,
        {{ window_start('start_ns', 3600) }} as event_hour,
        session_date,
        severity,
        cast(value as double) as value,
        cast(threshold as double) as threshold,
        cast(reference as double) as reference,
        event_ts_ns as peak_ts_ns,
        end_ns as episode_end_ns,
        cast((end_ns - start_ns) / 1000000 as bigint) as duration_ms,
        triggers,
        trigger_key
        {%- for name, type in alert_details().items() %},
        cast({{ name if name in filled else 'null' }} as {{ type }}) as {{ name }}
        {%- endfor %}
    from ranked
    where place = 1
{% endmacro %}


{# Is `price` further than `pct` per cent from `reference`? Without a division. #}
{% macro moves_more_than(price, reference, pct) -%}
    (abs({{ price }} - {{ reference }}) * 100 > {{ pct }} * abs({{ reference }}))
{%- endmacro %}


{# The number of the stretch of `seconds`, counted from the epoch, that holds a moment. #}
{% macro stretch_of(ns, seconds) -%}
    {{ ns }} // {{ (seconds * 1000000000) | int }}
{%- endmacro %}


{# Sample deviations of `volume` above the mean of `n` volumes before it, of which the sum and the
   sum of squares are known exactly; null where they do not differ. #}
{% macro z_score_of(volume, n, total, squares) -%}
    (cast({{ volume }} as double) - cast({{ total }} as double) / {{ n }}) / nullif(
        sqrt(cast(
            {{ squares }} * {{ n }}
            - cast({{ total }} as decimal(19, 8)) * cast({{ total }} as decimal(19, 8)) as double
        ) / ({{ n }} * ({{ n }} - 1))), 0
    )
{%- endmacro %}


{# Volumes of `rows` that exceed the mean of those before them in their sequence, as triggers for
   alerts_from. `rows` has volume, event_ts_ns and what alerts_from takes; `sequence` are the columns
   that make a sequence, `order_by` its order. A volume beyond 10^9 has no z-score: its square does
   not fit. #}
{% macro volume_triggers(rows, sequence, order_by) %}
    {% set n = var('volume_spike_windows') %}
    {% set prior = '(partition by ' ~ sequence ~ ' order by ' ~ order_by ~ ' rows between ' ~ n ~ ' preceding and 1 preceding)' %}
    select
        *,
        event_ts_ns as until_ns,
        case when volume * {{ n }} > {{ var('volume_spike_extreme_factor') }} * total then 'EXTREME' else 'HIGH' end as severity,
        cast(volume as double) * {{ n }} / cast(total as double) as value,
        case
            when volume * {{ n }} > {{ var('volume_spike_extreme_factor') }} * total then {{ var('volume_spike_extreme_factor') }}
            else {{ var('volume_spike_factor') }}
        end as threshold,
        cast(total as double) / {{ n }} as reference,
        cast(total as double) / {{ n }} as avg_volume,
        case when largest < 1000000000 then {{ z_score_of('volume', n, 'total', 'squares') }} end as z_score
    from (
        select
            *,
            count(*) over {{ prior }} as prior_count,
            sum(volume) over {{ prior }} as total,
            max(volume) over {{ prior }} as largest,
            sum(
                case
                    when volume < 1000000000
                        then cast(volume as decimal(19, 8)) * cast(volume as decimal(19, 8))
                end
            ) over {{ prior }} as squares
        from {{ rows }}
    ) as followed
    where prior_count = {{ n }} and total > 0 and volume * {{ n }} > {{ var('volume_spike_factor') }} * total
{% endmacro %}


{# Outliers among `prints` that lie within outlier_confirmed_pct of the print before them on their
   venue. Only sessions with an outlier are sorted for it. #}
{% macro confirming_prints(prints) %}
    select print_key
    from (
        select
            p.print_key, p.is_outlier, p.price,
            lag(p.price) over (
                partition by p.instrument_id, p.venue, p.session_date, p.session_id
                order by p.event_ts_ns, p.tie_order
            ) as before
        from {{ prints }} as p
        inner join (
            select distinct instrument_id, session_date from {{ prints }} where is_outlier
        ) as s on p.instrument_id = s.instrument_id and p.session_date = s.session_date
        where p.dataset = 'trades'
    ) as followed
    where is_outlier and not {{ moves_more_than('price', 'before', var('outlier_confirmed_pct')) }}
{% endmacro %}


{# Valid trades among `judged` with `total` and number (`prices`) of the prices of all venues in the
   price_move_reference_seconds before them. Stretches of that length whose prices, with those of the
   stretch before, lie too close together for any of them to stray are left out. #}
{% macro against_recent_mean(judged) %}
    {% set seconds = var('price_move_reference_seconds') %}
    {% set two = '(partition by instrument_id, session_date order by stretch range between 1 preceding and current row)' %}
    {% set suspected %}
        select instrument_id, session_date, stretch
        from (
            select
                instrument_id, session_date, stretch,
                min(lowest) over {{ two }} as lowest,
                max(highest) over {{ two }} as highest
            from (
                select
                    instrument_id, session_date, {{ stretch_of('event_ts_ns', seconds) }} as stretch,
                    min(price) as lowest,
                    max(price) as highest
                from {{ judged }}
                where is_valid and dataset = 'trades'
                group by instrument_id, session_date, {{ stretch_of('event_ts_ns', seconds) }}
            ) as each_stretch
        ) as pairs
        where (highest - lowest) * 100 > {{ var('price_move_moderate_pct') }} * lowest
    {% endset %}
    select *
    from (
        select
            p.*,
            n.is_suspected,
            sum(p.price) over before_it as total,
            count(*) over before_it as prices
        from {{ judged }} as p
        inner join (
            select instrument_id, session_date, stretch, bool_or(is_suspected) as is_suspected
            from (
                select instrument_id, session_date, stretch, true as is_suspected from ({{ suspected }}) as s
                union all
                select instrument_id, session_date, stretch - 1, false from ({{ suspected }}) as s
            ) as looked_at
            group by instrument_id, session_date, stretch
        ) as n
            on p.instrument_id = n.instrument_id and p.session_date = n.session_date
            and {{ stretch_of('p.event_ts_ns', seconds) }} = n.stretch
        where p.is_valid and p.dataset = 'trades'
        window before_it as (
            partition by p.instrument_id, p.session_date, p.session_id order by p.event_ts_ns
            range between {{ seconds * 1000000000 }} preceding and 1 preceding
        )
    ) as averaged
    where is_suspected
{% endmacro %}
