{{ config(
    by=['event_hour'],
    reach={'silver.trades_history': 'hour_and_next', 'silver.last_prices_history': 'hour_and_next'},
) }}

-- Messages that a venue numbered and that never came (analytics.md 4). An hour's first number
-- follows the last of the hour before.
with messages as not materialized (
    select dataset, source, venue, session_date, event_hour, sequence, event_ts_ns
    from {{ touched(ref('trades_history'), hours_back=1) }}
    where dataset = 'trades' and sequence is not null and venue is not null
    union all
    select 'market_data', source, venue, session_date, event_hour, sequence, event_ts_ns
    from {{ touched(ref('last_prices'), hours_back=1) }}
    where sequence is not null and venue is not null
),

own_hours as (
    select event_hour from {{ touched(ref('trades_history')) }}
    union
    select event_hour from {{ touched(ref('last_prices')) }}
),

hours as (
    select
        m.dataset, m.source, m.venue, m.session_date, m.event_hour,
        min(m.sequence) as first_sequence,
        max(m.sequence) as last_sequence,
        max_by(m.event_ts_ns, m.sequence) as last_ts_ns,
        count(distinct m.sequence) as numbers
    from messages as m
    inner join {{ ref('feeds') }} as d on m.dataset = d.dataset and d.source = '*'
    left join {{ ref('feeds') }} as f on m.dataset = f.dataset and m.source = f.source
    where case when f.source is null then d.sequence_scope else f.sequence_scope end = 'venue'
    group by m.dataset, m.source, m.venue, m.session_date, m.event_hour
),

-- Only hours with a hole are looked into, each with the end of the hour before.
holed as (
    select h.*, p.last_sequence as carried_sequence, p.last_ts_ns as carried_ts_ns
    from hours as h
    left join hours as p
        on h.dataset = p.dataset and h.source = p.source and h.venue = p.venue
        and h.session_date = p.session_date and h.event_hour = p.event_hour + interval 1 hour
    where
        h.event_hour in (select o.event_hour from own_hours as o)
        and (
            h.numbers <> h.last_sequence - h.first_sequence + 1
            or h.first_sequence > p.last_sequence + 1
        )
),

numbered as (
    select dataset, source, venue, session_date, event_hour, sequence, min(event_ts_ns) as event_ts_ns
    from (
        select m.*
        from messages as m
        inner join holed as h
            on m.dataset = h.dataset and m.source = h.source and m.venue = h.venue
            and m.session_date = h.session_date and m.event_hour = h.event_hour
        union all
        select dataset, source, venue, session_date, event_hour, carried_sequence, carried_ts_ns
        from holed
        where carried_sequence < first_sequence
    ) as known
    group by dataset, source, venue, session_date, event_hour, sequence
),

followed as (
    select
        *,
        lag(sequence) over in_hour as prev_sequence,
        lag(event_ts_ns) over in_hour as gap_start_ns
    from numbered
    window in_hour as (
        partition by dataset, source, venue, session_date, event_hour order by sequence
    )
)

select
    {{ key_of(['dataset', 'source', 'venue', 'session_date', 'event_hour', 'sequence']) }} as gap_key,
    dataset,
    source,
    venue,
    session_date,
    event_hour,
    prev_sequence,
    sequence as next_sequence,
    sequence - prev_sequence - 1 as missing,
    gap_start_ns,
    event_ts_ns as gap_end_ns
from followed
where sequence > prev_sequence + 1
