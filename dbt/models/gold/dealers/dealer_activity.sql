{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'gold.dealer_activity_15m': 'session',
        'gold.liquidity_1m': 'session',
        'silver.quote_intervals': 'session',
        'gold.best_quotes': 'session',
        'silver.trades_history': 'session',
        'silver.trade_outliers': 'none',
    },
) }}
{% set instrument_keys = ['instrument_id', 'session_date', 'session_scope'] %}
{% set dealer_keys = instrument_keys + ['dealer_id'] %}

with own as (
    select instrument_id, dealer_id, calendar, session_date, session_scope, {{ dealer_sums() }}
    from ({{ in_session_scopes(touched(ref('dealer_activity_15m'))) }})
    group by 1, 2, 3, 4, 5
),

markets as (
    select instrument_id, session_date, session_scope, cast(sum(valid_ns) as bigint) as valid_ns
    from ({{ in_session_scopes(touched(ref('liquidity_1m'))) }})
    group by 1, 2, 3
),

states as (
    select
        q.*,
        {{ session_type('q.from_ns', 's') }} as session_type,
        1000000000 * case when f.source is null then a.quote_ttl_seconds else f.quote_ttl_seconds end
            as ttl_ns,
        s.regular_open_ns,
        s.regular_close_ns,
        coalesce(s.extended_open_ns, s.session_start_ns) as open_ns,
        coalesce(s.extended_close_ns, s.session_end_ns) as close_ns
    from ({{ dealer_states(touched(ref('quote_intervals')), 'session_date') }}) as q
    left join {{ ref('sessions') }} as s
        on s.calendar = {{ calendar_of('q.instrument_id') }} and q.session_date = s.session_date
    left join {{ ref('feeds') }} as f on f.dataset = 'quotes' and q.source = f.source
    left join {{ ref('feeds') }} as a on a.dataset = 'quotes' and a.source = '*'
),

medians as (
    {{ dealer_medians('states') }}
),

stale as (
    {{ stale_times('states') }}
),

trades as (
    select instrument_id, session_date, session_type, event_ts_ns, price
    from {{ touched(ref('trades')) }}
    where {{ trade_filter() }}
),

touches as (
    {{ in_session_scopes('(' ~ trades_by_touch('trades', touched(ref('best_quotes'))) ~ ')') }}
),

compared as (
    select instrument_id, session_date, session_scope, cast(sum(trades) as bigint) as trades
    from touches
    group by 1, 2, 3
),

hits as (
    select instrument_id, session_date, session_scope, dealer_id, cast(sum(trades) as bigint) as hits
    from (select *, {{ each_name('dealers') }} as dealer_id from touches)
    group by 1, 2, 3, 4
),

joined as (
    select
        o.*,
        v.valid_ns,
        m.median_spread,
        m.median_spread_bps,
        m.median_bid_size,
        m.median_offer_size,
        coalesce(l.stale_ns, 0) as stale_ns,
        coalesce(h.hits, 0) as hits,
        coalesce(c.trades, 0) as trades,
        cast({{ session_ns('o.session_scope', 's') }} as bigint) as window_ns
    from own as o
    left join markets as v on {{ same('o', 'v', instrument_keys) }}
    left join compared as c on {{ same('o', 'c', instrument_keys) }}
    left join medians as m on {{ same('o', 'm', dealer_keys) }}
    left join stale as l on {{ same('o', 'l', dealer_keys) }}
    left join hits as h on {{ same('o', 'h', dealer_keys) }}
    left join {{ ref('sessions') }} as s on o.calendar = s.calendar and o.session_date = s.session_date
)

select
    instrument_id,
    dealer_id,
    {{ session_start() }} as event_hour,
    calendar,
    session_date,
    session_scope,
    {{ dealer_ratios() }},
    100 * cast(hits as double) / nullif(trades, 0) as hit_pct,
    100 * cast(stale_ns as double) / nullif(either_live_ns + stale_ns, 0) as stale_pct,
    median_spread,
    median_spread_bps,
    median_bid_size,
    median_offer_size,
    hits,
    trades,
    stale_ns,
    window_ns,
    valid_ns,
    {{ dealer_sums(add_up=false) }}
from joined
