{{ config(
    by=['instrument_id'],
    reach={'bronze.securities': 'key'},
    valid=['valid_from', 'valid_to'],
    derived=['version', 'is_current'],
) }}

with landed as not materialized (
    select * from {{ touched(ref('stg_securities')) }}
),

judged as materialized (
    {{ judged_statements('landed') }}
),

-- A deletion ends the version before it and is itself a row of no length, [t, t): nothing is
-- joined to it, and what follows it is a gap until the security is stated again.
dated as (
    select
        unit,
        position,
        row_number() over in_order as version,
        case when is_deleted then as_of else lead(as_of) over in_order end as valid_to,
        case
            when is_deleted then 'DELETE'
            when was_deleted then 'REACTIVATE'
            when row_number() over in_order = 1 then 'INSERT'
            else 'UPDATE'
        end as change_type
    from judged
    where outcome = 'version'
    window in_order as (partition by instrument_id order by as_of_ns)
),

versions as (
    select l.*, d.version, d.valid_to, d.change_type
    from landed as l
    inner join dated as d on l.unit = d.unit and l.position = d.position
    union all
    select
        l.*,
        1 as version,
        case when l.status = 'DELETED' then l.as_of end as valid_to,
        case when l.status = 'DELETED' then 'DELETE' else 'INSERT' end as change_type
    from landed as l
    where not exists (
        select 1
        from judged as j
        where j.instrument_id = l.instrument_id
    )
),

-- Nothing is known of an instrument before its first statement: that one is assumed to have held.
started as (
    select
        *,
        change_type = 'INSERT' as is_start_assumed,
        case
            when change_type = 'INSERT' then timestamptz '1970-01-01 00:00:00+00' else as_of
        end as valid_from
    from versions
)

select
    {{ key_of(['instrument_id', 'epoch_us(valid_from)']) }} as security_sk,
    instrument_id,
    {{ tracked_attributes() | join(',\n    ') }},
    source,
    valid_from,
    valid_to,
    valid_to is null as is_current,
    version::integer as version,
    is_start_assumed,
    change_type,
    as_of_ns,
    as_of,
    {{ timestamp_of('recv_ts_ns') }} as recorded_at,
    event_hour,
    unit,
    position,
    batch
from started
