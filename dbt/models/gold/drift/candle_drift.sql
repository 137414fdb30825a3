{{ config(
    by=['event_hour'],
    reach={'silver.late_trades': 'none', 'silver.late_trades_units': 'none'},
) }}

-- Windows in which candles of the speed layer and of batch differ (analytics.md 7), and why. The
-- candle that the speed layer should have made is made again from landed rows: where it is the one
-- that stands there, the rows that only one layer counts are the cause, else something was lost.
with streams as (
    {{ compared_streams() }}
),

outliers as (
    select trade_key from {{ touched(ref('trade_outliers')) }}
    where is_outlier and {{ var('exclude_outliers') | lower }}
),

trades as not materialized (
    select
        t.instrument_id, t.venue, t.event_hour, t.event_ts_ns, t.tie_order, t.dataset, t.unit,
        t.position, t.state, t.price, t.quantity, t.is_price_eligible, t.is_volume_eligible,
        o.trade_key is not null as is_left_out
    from {{ touched(ref('trades_history')) }} as t
    left join outliers as o on t.trade_key = o.trade_key
),

late as (
    select dataset, unit, position, late_1s, late_10s, late_1m
    from {{ touched(ref('late_trades'), by=['event_hour']) }}
),

candles as not materialized (
    select * from {{ touched(source('speed', 'candles'), dates='event_date') }}
),

hours as (
    {{ compared_hours('trades', 'candles', 'streams') }}
),

batch as (
    {{ compared_batch_windows('hours') }}
),

speed as (
    {{ compared_speed_windows('candles', 'hours') }}
),

compared as (
    select
        coalesce(b.width, s.width) as width,
        coalesce(b.instrument_id, s.instrument_id) as instrument_id,
        coalesce(b.venue, s.venue) as venue,
        coalesce(b.window_start, s.window_start) as window_start,
        coalesce(b.event_hour, s.event_hour) as event_hour,
        case
            when b.width is null then 'EXTRA_SPEED'
            when s.width is null then 'MISSING_SPEED'
            else 'DRIFT'
        end as status,
        s.open_low, s.open_high, s.close_low, s.close_high,
        {{ nearer('s.open_low', 's.open_high', 'b.open') }} as speed_open,
        s.high as speed_high,
        s.low as speed_low,
        {{ nearer('s.close_low', 's.close_high', 'b.close') }} as speed_close,
        coalesce(s.volume, 0) as speed_volume,
        coalesce(s.trade_count, 0) as speed_count,
        b.open as batch_open,
        b.high as batch_high,
        b.low as batch_low,
        b.close as batch_close,
        coalesce(b.volume, 0) as batch_volume,
        coalesce(b.trade_count, 0) as batch_count
    from batch as b
    full join speed as s
        on b.width = s.width and b.instrument_id = s.instrument_id
        and b.venue = s.venue and b.window_start = s.window_start
),

differing as (
    select * from compared
    where
        status <> 'DRIFT'
        {% for field in ['open', 'high', 'low', 'close', 'volume', 'count'] %}
            or speed_{{ field }} is distinct from batch_{{ field }}
        {% endfor %}
),

counted as (
    {{ rows_behind('differing', 'trades', 'late', 'streams') }}
),

expected as (
    select
        width, instrument_id, venue, window_start,
        min_by(price, tie) filter (where is_in_speed and is_price_eligible) as open,
        max(price) filter (where is_in_speed and is_price_eligible) as high,
        min(price) filter (where is_in_speed and is_price_eligible) as low,
        max_by(price, tie) filter (where is_in_speed and is_price_eligible) as close,
        count(*) filter (where is_in_speed and is_volume_eligible) as n,
        count(*) filter (where is_in_speed) as counted_rows,
        coalesce(sum(quantity) filter (where is_in_speed and is_volume_eligible), 0) as volume,
        {% for kind in ['correction', 'duplicate', 'outlier', 'late'] %}
            count(*) filter (where kind = '{{ kind }}' and is_eligible) as {{ kind }}_rows,
            coalesce(sum(quantity) filter (where kind = '{{ kind }}' and is_volume_eligible), 0)
                as {{ kind }}_quantity,
        {% endfor %}
        count(*) filter (where kind = 'lost' and is_eligible) as lost_rows,
        -- A print that sets no price and adds no volume makes a window all the same.
        min(kind) as kind_of_any
    from counted
    group by width, instrument_id, venue, window_start
),

explained as (
    select
        d.*,
        e.kind_of_any,
        coalesce(e.lost_rows, 0) as lost_rows,
        {% for kind in ['correction', 'duplicate', 'outlier', 'late'] %}
            coalesce(e.{{ kind }}_rows, 0) as {{ kind }}_rows,
            coalesce(e.{{ kind }}_quantity, 0) as {{ kind }}_quantity,
        {% endfor %}
        ((coalesce(e.counted_rows, 0) = 0) = (d.status = 'MISSING_SPEED'))
        and (coalesce(e.volume, 0) = d.speed_volume)
        and (coalesce(e.n, 0) = d.speed_count)
        and (e.high is not distinct from d.speed_high)
        and (e.low is not distinct from d.speed_low)
        and (e.open is not distinct from d.open_low or e.open is not distinct from d.open_high)
        and (e.close is not distinct from d.close_low or e.close is not distinct from d.close_high)
            as is_as_expected
    from differing as d
    left join expected as e
        on d.width = e.width and d.instrument_id = e.instrument_id
        and d.venue = e.venue and d.window_start = e.window_start
)

select
    width,
    instrument_id,
    venue,
    window_start,
    event_hour,
    status,
    case
        when not is_as_expected or lost_rows > 0 then 'lost'
        when correction_rows > 0 then 'correction'
        when duplicate_rows > 0 then 'duplicate'
        when outlier_rows > 0 then 'outlier'
        when late_rows > 0 then 'late'
        else coalesce(kind_of_any, 'lost')
    end as cause,
    status <> 'DRIFT'
    {% for field in ['open', 'high', 'low', 'close'] -%}
        or {{ is_price_alert('speed_' ~ field, 'batch_' ~ field) }}
    {% endfor -%}
        as is_alert,
    case when status = 'DRIFT' then greatest(
        {% for field in ['open', 'high', 'low', 'close'] -%}
            {{ price_drift('speed_' ~ field, 'batch_' ~ field) }}{{ ',' if not loop.last }}
        {% endfor -%}
    ) end as price_drift_pct,
    case
        when speed_volume = batch_volume then 0
        else {{ ratio('abs(speed_volume - batch_volume)', 'batch_volume') }} * 100
    end as volume_drift_pct,
    cast(speed_volume - batch_volume as decimal(38, 8)) as volume_diff,
    cast(speed_count - batch_count as bigint) as count_diff,
    speed_open,
    speed_high,
    speed_low,
    speed_close,
    cast(speed_volume as decimal(38, 8)) as speed_volume,
    cast(speed_count as bigint) as speed_count,
    batch_open,
    batch_high,
    batch_low,
    batch_close,
    cast(batch_volume as decimal(38, 8)) as batch_volume,
    cast(batch_count as bigint) as batch_count,
    cast(correction_quantity as decimal(38, 8)) as correction_quantity,
    cast(duplicate_quantity as decimal(38, 8)) as duplicate_quantity,
    cast(outlier_quantity as decimal(38, 8)) as outlier_quantity,
    cast(late_quantity as decimal(38, 8)) as late_quantity,
    cast(
        correction_quantity + duplicate_quantity + outlier_quantity - late_quantity
        - (speed_volume - batch_volume) as decimal(38, 8)
    ) as lost_quantity
from explained
