{# What is known of a dataset and day (features.md C3, C4, C6). #}

{# Datasets that tick through a regular session: silence at its edges means something is missing.
   Snapshots, bars and posts come when they come. #}
{% macro ticking_datasets() -%}
    ('trades', 'quotes', 'orders', 'market_data', 'book_updates')
{%- endmacro %}


{# Calendars whose regular session opens and closes. Bonds have core hours and no hard close
   (analytics.md 0.2): dealers begin and end when they like. #}
{% macro opens_and_closes(calendar='calendar') -%}
    {{ calendar }} <> 'corporate_bond'
{%- endmacro %}


{# The calendar that a landed row's day is taken from: its instrument's; posts come on every UTC day,
   as crypto trades; securities and alerts come when there is something to say, which is no calendar. #}
{% macro landed_calendar(dataset) -%}
    {%- if dataset in ['securities', 'alerts'] -%} cast(null as varchar)
    {%- elif dataset == 'posts' -%} 'crypto'
    {%- else -%} {{ calendar_of() }}
    {%- endif -%}
{%- endmacro %}


{# Landed rows of verdict ok by half hours, on which every bound of every session lies. #}
{% macro landed_half_hours(dataset, whole) %}
    select
        '{{ dataset }}' as dataset,
        batch,
        unit,
        {{ landed_calendar(dataset) }} as calendar,
        event_ts_ns // 1800000000000 as half_hour,
        count(*) as ok_rows,
        min(event_ts_ns) as first_ns,
        max(event_ts_ns) as last_ns,
        min(position) as first_position
    from {{ landed_rows(dataset, whole) }}
    where verdict = 'ok'
    group by all
{% endmacro %}


{# Landed rows of verdict rejected: the days that their neighbours lie on are theirs. #}
{% macro landed_rejects(dataset, whole) %}
    select '{{ dataset }}' as dataset, batch, unit, position
    from {{ landed_rows(dataset, whole) }}
    where verdict = 'rejected'
{% endmacro %}


{# Does a record stand in a unit that goes on, and so may hold a watermark back? A file ends. #}
{% macro goes_on(unit) -%}
    (starts_with({{ unit }}, 'kafka:') or starts_with({{ unit }}, 'ws:'))
{%- endmacro %}


{# The places 0, 1, 2 of variable gap_thresholds_ms, from the smallest: HFT, fast and standard. #}
{% macro gap_threshold(place) -%}
    {%- set sorted = var('gap_thresholds_ms') | sort -%}
    {{ sorted[place] if place < sorted | length else 'null' }}
{%- endmacro %}


{# CTEs ending in `watermarks` (dataset, watermark_ns): how far event time has come. A partition or
   client that has not been idle since the dataset's last landing holds the others back. #}
{% macro watermarks() %}
units as (
    select
        dataset,
        {{ goes_on('unit') }} as goes_on,
        max(newest_ns) as newest_ns,
        max(landed_at) as landed_at
    from {{ ref('landed_days') }}
    group by dataset, unit
    having max(newest_ns) is not null
),

watermarks as (
    select
        dataset,
        coalesce(min(newest_ns) filter (where goes_on and is_busy), max(newest_ns)) as watermark_ns
    from (
        select
            *,
            landed_at >= max(landed_at) over (partition by dataset)
            - interval {{ var('idle_seconds') }} second as is_busy
        from units
    ) as timed
    group by dataset
)
{%- endmacro %}


{# Instruments whose trades are steady and fell silent at an edge of the session: more than 20 were to
   be expected in the gap at the session's rate (analytics.md 4, the adaptive rule). #}
{% macro silent_instruments() %}
    select
        'trades' as dataset, g.session_date as day, g.instrument_id as who, g.gap_ns as edge_gap_ns
    from {{ ref('trade_gaps') }} as g
    inner join {{ ref('sessions') }} as s on g.calendar = s.calendar and g.session_date = s.session_date
    inner join (
        select instrument_id, session_date, sum(regular_trades) as regular_trades
        from {{ ref('profile_hours') }}
        group by instrument_id, session_date
    ) as p on g.instrument_id = p.instrument_id and g.session_date = p.session_date
    where
        g.gap_kind = 'edge_gap'
        and {{ opens_and_closes('g.calendar') }}
        and g.threshold_ms = {{ var('gap_thresholds_ms') | max }}
        and g.gap_ns > 300000000000
        and cast(g.gap_ns as double) * p.regular_trades
        > 20 * cast(s.regular_close_ns - s.regular_open_ns as double)
{%- endmacro %}


{# CTE `open_lines` (dataset, day, open_lines): lines of accounts that do not close, on each day that
   they may speak of. A commit speaks of the days it brought, an hour of its sessions. #}
{% macro open_account_lines(sessions) %}
open_lines as (
    select l.dataset, l.day, count(*) as open_lines
    from (
        select dataset, landed_hour from {{ ref('account_landing') }}
        where difference <> 0 or not has_right_positions
        union all
        select dataset, landed_hour from {{ ref('account_replay') }}
        where difference <> 0 or quarantined_difference <> 0 or not has_right_positions
        union all
        select 'orders', landed_hour from {{ ref('account_gateway') }}
        where difference <> 0
    ) as a
    inner join (
        select distinct dataset, landed_hour, day from {{ ref('landed_days') }}
    ) as l on a.dataset = l.dataset and a.landed_hour = l.landed_hour
    group by l.dataset, l.day
    union all
    select a.dataset, coalesce(s.day, cast({{ local_time('a.event_hour', "'UTC'") }} as date)), count(*)
    from {{ ref('account_silver') }} as a
    left join {{ sessions }} as s
        on a.dataset = s.dataset
        and {{ ns_of('a.event_hour') }} >= s.session_start_ns and {{ ns_of('a.event_hour') }} < s.session_end_ns
    where a.difference <> 0 or a.quantity_difference <> 0
    group by all
    union all
    select
        case when account = 'enriched_quotes' then 'quotes' else 'trades' end,
        {{ session_date('event_hour', calendar_of()) }},
        count(*)
    from {{ ref('account_gold') }}
    where difference <> 0 or quantity_difference <> 0 or notional_difference <> 0
    group by all
)
{%- endmacro %}


{# What lowers a day's condition (features.md C4). All are to be exceeded. #}
{% macro is_much_rejected() -%}
    (open_rejected_rows * 1000 > ok_rows + open_rejected_rows)
{%- endmacro %}

{% macro is_silent_at_edge() -%}
    (is_expected and coalesce(edge_gap_minutes > 5, false))
{%- endmacro %}


{% macro condition() -%}
    case
        when is_running then 'pending'
        when ok_rows = 0 and rejected_rows = 0 then 'missing'
        when {{ is_much_rejected() }} or open_accounts > 0 or {{ is_silent_at_edge() }} then 'degraded'
        else 'available'
    end
{%- endmacro %}


{# Why, in words; of a pending day also what lowers it already. #}
{% macro condition_reasons() -%}
    concat_ws(
        '; ',
        case when ok_rows = 0 and rejected_rows = 0 then 'expected by the calendar, no rows' end,
        case
            when is_running
                then 'events reach ' || coalesce({{ minute_text('watermark_ns') }}, 'nowhere')
                    || ', the day ends ' || {{ minute_text('end_ns') }} || ' and 5 min more are waited for'
        end,
        case
            when {{ is_much_rejected() }}
                then round(rejected_pct, 2) || ' % rejected (' || open_rejected_rows || ' rows)'
        end,
        case when open_accounts > 0 then open_accounts || ' lines of accounts are open' end,
        case
            when {{ is_silent_at_edge() }} and not is_running
                then 'edge gap of ' || round(edge_gap_minutes, 1) || ' min (' || edge_gap_of || ')'
        end
    )
{%- endmacro %}


{# A moment in ns since epoch as text to the minute, UTC. #}
{% macro minute_text(ns) -%}
    strftime({{ local_time(timestamp_of(ns), "'UTC'") }}, '%Y-%m-%d %H:%M')
{%- endmacro %}
