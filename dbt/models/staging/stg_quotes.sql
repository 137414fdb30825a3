-- Quotes as their sources report them, and the quote inside each market data message, with what
-- is known of their feed.
with reported as (
    select
        'quotes' as dataset,
        instrument_id,
        dealer_id,
        venue,
        source,
        bid_price,
        offer_price,
        bid_size,
        offer_size,
        sequence,
        coalesce(quote_type, 'F') as quote_type,
        side,
        action,
        price,
        size,
        level,
        session_id,
        null as last_price,
        null as volume,
        event_ts_ns,
        event_date,
        recv_ts_ns,
        unit,
        position,
        delivery_unit,
        batch,
        ingest_ts,
        contract_version
    from {{ source('bronze', 'quotes') }}
),

exchange as (
    select
        'market_data' as dataset,
        instrument_id,
        dealer_id,
        venue,
        source,
        bid_price,
        offer_price,
        bid_size,
        offer_size,
        sequence,
        'F' as quote_type,
        null as side,
        null as action,
        null as price,
        null as size,
        null as level,
        null as session_id,
        last_price,
        volume,
        event_ts_ns,
        event_date,
        recv_ts_ns,
        unit,
        position,
        delivery_unit,
        batch,
        ingest_ts,
        contract_version
    from {{ ref('stg_market_data') }}
),

timed as (
    select
        q.*,
        {{ timestamp_of('event_ts_ns') }} as event_ts,
        {{ window_start('event_ts_ns', 3600) }} as event_hour,
        {{ calendar_of() }} as calendar,
        case when q.unit like 'file:%' then q.position end as source_row,
        coalesce(f.feed_kind, d.feed_kind) as feed_kind,
        case when f.source is null then d.quote_ttl_seconds else f.quote_ttl_seconds end
        * 1000000000 as quote_ttl_ns,
        coalesce(f.has_size, d.has_size) as has_size,
        coalesce(f.quoted_in, d.quoted_in) as quoted_in
    from (
        select * from reported
        union all
        select * from exchange
    ) as q
    inner join {{ ref('feeds') }} as d on q.dataset = d.dataset and d.source = '*'
    left join {{ ref('feeds') }} as f on q.dataset = f.dataset and q.source = f.source
)

select
    *,
    {{ session_date() }} as session_date,
    case
        when sequence is not null then 'sequence'
        when delivery_unit is not null then 'content'
        else 'position'
    end as dedup_rule
from timed
