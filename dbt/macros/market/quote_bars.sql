{#
    Bars on quotes (analytics.md 2, D09). High and low are over the updates and, where the feed's
    bars open with the quote in force (quote_bar_open: carry), over that one too.
#}

{# Rows of bars of `seconds`. `quotes` say what was updated, `intervals` what was in force. #}
{% macro quote_bars(quotes, intervals, seconds) %}
{%- set sides = ['bid', 'offer'] -%}
{%- set ns = seconds * 1000000000 -%}
with updates as (
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        source,
        dataset,
        dealer_id,
        case when feed_kind = 'consolidated' then '' else coalesce(venue, '') end as quoted_at,
        event_ts_ns // {{ ns }} as win,
        event_ts_ns,
        -- the total order within a window as one number
        (event_ts_ns % {{ ns }}) * 1048576 + tie_order as place,
        touches_bid,
        touches_offer,
        live_bid_price,
        live_bid_size,
        live_offer_price,
        live_offer_size
    from {{ touched(quotes) }}
    where quote_type = 'F' and (touches_bid or touches_offer)
),

bars as (
    select
        instrument_id, event_hour, calendar, session_date, source, dataset, dealer_id, quoted_at, win,
        {%- for side in sides %}
        {%- set live = 'filter (where live_' ~ side ~ '_price is not null)' %}
        min_by(live_{{ side }}_price, place) {{ live }} as {{ side }}_first,
        max(live_{{ side }}_price) as {{ side }}_highest,
        min(live_{{ side }}_price) as {{ side }}_lowest,
        max_by(live_{{ side }}_price, place) {{ live }} as {{ side }}_last,
        max_by(coalesce(live_{{ side }}_size, -1), place) {{ live }} as {{ side }}_last_size,
        min(event_ts_ns) filter (where touches_{{ side }}) as {{ side }}_first_ns,
        count(*) filter (where touches_{{ side }}) as {{ side }}_updates
        {{- ',' if not loop.last }}
        {%- endfor %}
    from updates
    group by instrument_id, event_hour, calendar, session_date, source, dataset, dealer_id, quoted_at, win
),

-- The quote in force when a window starts: that of just before, if it lives on or is replaced at
-- the very moment.
standing as (
    select
        i.*,
        w.win,
        w.win * {{ ns }} as win_ns
    from {{ touched(intervals, hours_back=1) }} as i
    cross join lateral {{ numbers_within(
        '(i.from_ns + ' ~ (ns - 1) ~ ') // ' ~ ns, 'i.to_ns // ' ~ ns ~ ' + 1'
    ) }} as w (win)
    where i.quote_type = 'F'
),

opened as (
    select
        b.*,
        coalesce(f.quote_bar_open, d.quote_bar_open) = 'carry' as is_carried,
        {%- for side in sides %}
        {{ side }}.price as {{ side }}_standing,
        {{ side }}.size as {{ side }}_standing_size
        {{- ',' if not loop.last }}
        {%- endfor %}
    from bars as b
    left join {{ ref('feeds') }} as f on b.source = f.source and b.dataset = f.dataset
    left join {{ ref('feeds') }} as d on d.source = '*' and b.dataset = d.dataset
    {%- for side in sides %}
    left join standing as {{ side }}
        on b.instrument_id = {{ side }}.instrument_id
        and b.source = {{ side }}.source
        and b.quoted_at = {{ side }}.quoted_at
        and b.dealer_id = {{ side }}.dealer_id
        and b.win = {{ side }}.win
        and {{ side }}.side = '{{ side | upper }}'
        and (
            ({{ side }}.from_ns < {{ side }}.win_ns and {{ side }}.to_ns > {{ side }}.win_ns)
            or ({{ side }}.from_ns = {{ side }}.win_ns and {{ side }}.quote_ts_ns < {{ side }}.win_ns)
            or ({{ side }}.to_ns = {{ side }}.win_ns and b.{{ side }}_first_ns = {{ side }}.win_ns)
        )
    {%- endfor %}
)

select
    instrument_id,
    event_hour,
    calendar,
    session_date,
    source,
    nullif(quoted_at, '') as venue,
    dealer_id,
    {{ timestamp_of('win * ' ~ ns) }} as window_start,
    {%- for side in sides %}
    cast(coalesce(case when is_carried then {{ side }}_standing end, {{ side }}_first) as decimal(18, 9)) as {{ side }}_open,
    cast(greatest({{ side }}_highest, case when is_carried then {{ side }}_standing end) as decimal(18, 9)) as {{ side }}_high,
    cast(least({{ side }}_lowest, case when is_carried then {{ side }}_standing end) as decimal(18, 9)) as {{ side }}_low,
    cast(coalesce({{ side }}_last, case when is_carried then {{ side }}_standing end) as decimal(18, 9)) as {{ side }}_close,
    cast(case
        when {{ side }}_last is not null then nullif({{ side }}_last_size, -1)
        when is_carried then {{ side }}_standing_size
    end as decimal(28, 8)) as {{ side }}_close_size,
    {{ side }}_updates
    {{- ',' if not loop.last }}
    {%- endfor %}
from opened
{% endmacro %}
