{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'silver.trades_history': 'session',
        'silver.trade_outliers': 'session',
        'silver.last_prices': 'session',
    },
) }}

-- Prices that moved (analytics.md 16): against the price before on the same venue, against the mean
-- of five minutes on all venues, and prints that are probably wrong.
with prints as not materialized (
    select
        'trades' as dataset, trade_key as print_key, instrument_id, venue, session_date, session_id,
        event_ts_ns, tie_order, price, is_outlier
    from {{ touched(ref('trades')) }}
    where session_type = 'regular' and is_price_eligible
    union all
    select
        'market_data', price_key, instrument_id, venue, session_date, null,
        event_ts_ns, tie_order, price, false
    from {{ touched(ref('last_prices')) }}
    where session_type = 'regular'
),

-- An outlier is believed once the next print of its venue is near it: that one confirms.
confirming as (
    select print_key
    from (
        select
            p.print_key, p.is_outlier, p.price,
            lag(p.price) over (
                partition by p.instrument_id, p.venue, p.session_date, p.session_id
                order by p.event_ts_ns, p.tie_order
            ) as before
        from prints as p
        inner join (
            select distinct instrument_id, session_date from prints where is_outlier
        ) as s on p.instrument_id = s.instrument_id and p.session_date = s.session_date
        where p.dataset = 'trades'
    ) as followed
    where is_outlier and not {{ moves_more_than('price', 'before', var('outlier_confirmed_pct')) }}
),

judged as not materialized (
    select p.*, not p.is_outlier or c.print_key is not null as is_valid
    from prints as p
    left join confirming as c on p.print_key = c.print_key
),

-- Only where prices of two neighbouring stretches differ enough can one stray from their mean.
stretches as (
    select
        instrument_id, session_date, stretch,
        min(lowest) over two as lowest,
        max(highest) over two as highest
    from (
        select
            instrument_id, session_date,
            {{ stretch_of('event_ts_ns', var('price_move_reference_seconds')) }} as stretch,
            min(price) as lowest,
            max(price) as highest
        from judged
        where is_valid and dataset = 'trades'
        group by all
    ) as each_stretch
    window two as (
        partition by instrument_id, session_date order by stretch range between 1 preceding and current row
    )
),

suspected as (
    select instrument_id, session_date, stretch
    from stretches
    where (highest - lowest) * 100 > {{ var('price_move_moderate_pct') }} * lowest
),

averaged as (
    select
        p.*,
        t.stretch is not null as is_suspected,
        sum(p.price) over before_it as total,
        count(*) over before_it as prices
    from judged as p
    left join suspected as t
        on p.instrument_id = t.instrument_id and p.session_date = t.session_date
        and {{ stretch_of('p.event_ts_ns', var('price_move_reference_seconds')) }} = t.stretch
    inner join (
        select instrument_id, session_date, stretch from suspected
        union
        select instrument_id, session_date, stretch - 1 from suspected
    ) as n
        on p.instrument_id = n.instrument_id and p.session_date = n.session_date
        and {{ stretch_of('p.event_ts_ns', var('price_move_reference_seconds')) }} = n.stretch
    where p.is_valid and p.dataset = 'trades'
    window before_it as (
        partition by p.instrument_id, p.session_date, p.session_id order by p.event_ts_ns
        range between {{ var('price_move_reference_seconds') * 1000000000 }} preceding and 1 preceding
    )
),

followed as (
    select
        *,
        {{ last_one_of('case when is_valid then price end', """(
            partition by dataset, instrument_id, venue, session_date, session_id
            order by event_ts_ns, tie_order
            rows between unbounded preceding and 1 preceding
        )""") }} as prev_price
    from judged
),

moves as (
    select
        'price_move' as rule, dataset, concat_ws('/', dataset, instrument_id, venue) as key, instrument_id, venue,
        session_date, event_ts_ns, print_key as trigger_key, price, prev_price,
        cast((price - prev_price) * 100 as double) / cast(abs(prev_price) as double) as value,
        {{ moves_more_than('price', 'prev_price', var('price_move_pct')) }} as is_significant
    from followed
    where is_valid and {{ moves_more_than('price', 'prev_price', var('price_move_moderate_pct')) }}
    union all
    select
        'price_move_5m', dataset, instrument_id, instrument_id, venue,
        session_date, event_ts_ns, print_key, price, cast(cast(total as double) / prices as decimal(18, 9)),
        cast((price * prices - total) * 100 as double) / cast(abs(total) as double),
        {{ moves_more_than('price * prices', 'total', var('price_move_pct')) }}
    from averaged
    where
        is_suspected
        and {{ moves_more_than('price * prices', 'total', var('price_move_moderate_pct')) }}
),

triggers as (
    select
        * exclude (is_significant),
        case when is_significant then 'SIGNIFICANT' else 'MODERATE' end as severity,
        case
            when is_significant then {{ var('price_move_pct') }} else {{ var('price_move_moderate_pct') }}
        end as threshold
    from moves
    union all
    select
        'fat_finger', p.dataset, concat_ws('/', p.instrument_id, p.venue), p.instrument_id, p.venue,
        p.session_date, p.event_ts_ns, p.print_key, p.price, o.ref_price,
        o.deviation_pct, 'FAT_FINGER', {{ var('outlier_pct') }}
    from judged as p
    inner join {{ touched(ref('trade_outliers')) }} as o on p.print_key = o.trade_key
    where not p.is_valid
),

completed as (
    select *, event_ts_ns as until_ns, prev_price as reference, value as price_change_pct from triggers
)

select * from ({{ alerts_from('completed', ['price', 'prev_price', 'price_change_pct']) }}) as alerts
