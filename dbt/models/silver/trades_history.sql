{{ config(
    by=['instrument_id', 'event_hour'],
    reach={
        'bronze.trades': 'session',
        'bronze.orders': 'session',
        'silver.security_versions': 'validity',
        'silver.trade_chains': 'session',
    },
) }}

with landed as not materialized (
    select * from {{ touched(ref('stg_trades'), dates='event_date') }}
),

securities as (
    select instrument_id, valid_from, valid_to, security_sk, price_multiplier
    from {{ touched(ref('security_versions'), by=['instrument_id']) }}
),

contents as not materialized (
    {{ counted_contents('landed', [
        'source', 'venue', 'instrument_id', 'event_ts_ns', canonical('price'),
        canonical('quantity'), 'side', 'conditions',
    ]) }}
),

keyed as not materialized (
    select
        *,
        {{ trade_key() }} as trade_key
    from landed
    where dedup_rule <> 'content'
    union all
    select
        * exclude (fingerprint, occurrence),
        {{ key_of(["'content'", 'fingerprint', 'occurrence']) }} as trade_key
    from contents
),

marked as (
    {{ marked_copies(
        'keyed', 'trade_key', ['try_cast(k.trade_id as ubigint)', 'k.trade_id'],
        payload=['price', 'quantity', 'side', 'event_ts_ns', 'conditions'],
        place=['dataset', 'unit', 'position'],
    ) }}
),

priced as (
    select
        *,
        cast(cast(price as decimal(38, 9)) * quantity as decimal(38, 12)) as price_quantity
    from marked
),

chains as (
    select trade_key, state, revision, reopened
    from {{ touched(ref('trade_chains')) }}
),

conditions as (
    {{ judged_conditions('landed') }}
),

eligible as (
    select
        p.*,
        {{ session_type('p.event_ts_ns') }} as session_type,
        coalesce(c.sets_price, true)
        and not (coalesce(c.is_extended, false) and {{ session_type('p.event_ts_ns') }} = 'regular')
            as is_price_eligible,
        coalesce(c.adds_volume, true) as is_volume_eligible,
        coalesce(c.is_cross, false) as is_cross,
        case
            when p.is_duplicate then 'duplicate'
            when h.state is not null then h.state
            when p.status = 'NEW' then 'current'
            else 'parked'
        end as state,
        coalesce(h.revision, 0) as revision,
        case when p.is_duplicate then 0 else coalesce(h.reopened, 0) end as reopened
    from priced as p
    left join chains as h on p.trade_key = h.trade_key
    left join {{ ref('sessions') }} as s on p.calendar = s.calendar and p.session_date = s.session_date
    left join conditions as c on p.condition_form = c.condition_form and p.conditions = c.conditions
)

select
    p.* exclude (  -- noqa: RF02
        event_date, dedup_rule, condition_form, contract_version, ingest_ts, delivery_unit  -- noqa: RF02
    ),
    {{ notional('p.price_quantity', 's.price_multiplier') }} as notional,
    s.price_multiplier,
    s.security_sk
from eligible as p
left join securities as s
    on p.instrument_id = s.instrument_id
    and p.event_ts >= s.valid_from
    and (s.valid_to is null or p.event_ts < s.valid_to)
