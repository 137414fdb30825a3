{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'silver.trades_history': 'session',
        'silver.trade_outliers': 'session',
        'silver.last_prices_history': 'session',
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

-- An outlier is believed once the next print of its venue is near it: that one confirms it.
confirming as (
    {{ confirming_prints('prints') }}
),

judged as not materialized (
    select p.*, not p.is_outlier or c.print_key is not null as is_valid
    from prints as p
    left join confirming as c on p.print_key = c.print_key
),

means as (
    {{ against_recent_mean('judged') }}
),

followed as (
    select
        *,
        {{ last_known('case when is_valid then price end') }} over (
            partition by dataset, instrument_id, venue, session_date, session_id
            order by event_ts_ns, tie_order
            rows between unbounded preceding and 1 preceding
        ) as prev_price
    from judged
),

moves as (
    select
        'price_move' as rule, dataset, concat_ws('/', dataset, instrument_id, venue) as key,
        instrument_id, venue,
        session_date, event_ts_ns, print_key as trigger_key, price, prev_price,
        cast((price - prev_price) * 100 as double) / cast(abs(prev_price) as double) as value,
        {{ moves_more_than('price', 'prev_price', var('price_move_pct')) }} as is_significant
    from followed
    where is_valid and {{ moves_more_than('price', 'prev_price', var('price_move_moderate_pct')) }}
    union all
    select
        'price_move_5m', dataset, instrument_id as key,
        instrument_id, venue,
        session_date, event_ts_ns, print_key, price, cast(cast(total as double) / prices as decimal(18, 9)),
        cast((price * prices - total) * 100 as double) / cast(abs(total) as double),
        {{ moves_more_than('price * prices', 'total', var('price_move_pct')) }}
    from means
    where {{ moves_more_than('price * prices', 'total', var('price_move_moderate_pct')) }}
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
