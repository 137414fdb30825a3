{{ config(by=['instrument_id', 'event_hour']) }}

-- Means over trades that had a valid quote before them; those of a later mid over trades that have
-- one. Sums are exact and each mean is divided once.
with trades as (
    select * from {{ touched(ref('trade_quality')) }}
)

select
    instrument_id,
    case when grouping(venue) = 1 then 'ALL' else venue end as venue,
    event_hour,
    case when grouping(size_bucket) = 1 then 'ALL' else size_bucket end as size_bucket,
    count(*) as trade_count,
    cast(sum(quantity) as decimal(38, 8)) as volume,
    count(quoted_spread) as measured_count,
    {{ ratio("count(*) filter (where price_improvement > 0) * 100", "count(price_improvement)") }} as improved_pct,
    {{ ratio("count(*) filter (where location = 'INSIDE') * 100", "count(location)") }} as inside_pct,
    {{ ratio("count(*) filter (where location in ('AT_BID', 'AT_OFFER')) * 100", "count(location)") }} as at_touch_pct,
    {{ ratio("count(*) filter (where location = 'OUTSIDE') * 100", "count(location)") }} as outside_pct,
    {% for name in quality_measures() -%}
    {{ means(name) }},
    {{ means(name ~ '_bps', is_ratio=true) }},
    {% endfor -%}
    {{ ratio("sum(effective_spread)", "sum(quoted_spread) filter (where effective_spread is not null)") }}
        as effective_over_quoted
from trades
group by grouping sets (
    (instrument_id, event_hour, venue, size_bucket),
    (instrument_id, event_hour, venue),
    (instrument_id, event_hour, size_bucket),
    (instrument_id, event_hour)
)
having grouping(venue) = 1 or venue is not null
