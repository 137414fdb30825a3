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
    {{ percentage("price_improvement > 0", "price_improvement") }} as improved_pct,
    {{ percentage("location = 'INSIDE'", "location") }} as inside_pct,
    {{ percentage("location in ('AT_BID', 'AT_OFFER')", "location") }} as at_touch_pct,
    {{ percentage("location = 'OUTSIDE'", "location") }} as outside_pct,
    {% for name in quality_measures() %}
        {{ means(name) }},
        {{ means(name ~ '_bps', is_ratio=true) }},
    {% endfor %}
    {{ effective_over_quoted() }} as effective_over_quoted
from trades
group by instrument_id, event_hour, cube(venue, size_bucket)
having grouping(venue) = 1 or venue is not null
