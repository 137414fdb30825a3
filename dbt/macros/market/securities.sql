{#
    The history of securities, SCD Type 2 on business time (analytics.md 18).
#}

{# What is tracked: a statement that differs in none of these makes no version. #}
{% macro tracked_attributes() %}
    {% do return([
        'security_name', 'issuer', 'cusip', 'isin', 'figi', 'ticker', 'market_segment', 'venue',
        'calendar', 'currency', 'status', 'tick_size', 'price_multiplier', 'allow_negative_price',
    ]) %}
{% endmacro %}


{# sha256 of the tracked attributes, absent ones empty, set apart by the unit separator. Decimals
   have the scale of their column, so 1.1 and 1.10 are the same text. #}
{% macro change_hash(alias='') -%}
    {%- set text -%}
        concat_ws(
            chr(31) {%- for name in tracked_attributes() %}, coalesce(cast({{ alias ~ '.' if alias }}{{ name }} as varchar), ''){% endfor %}
        )
    {%- endset -%}
    {{ sha256_of(text) }}
{%- endmacro %}


{# Vendors write many words for nothing; in an attribute that is free text they mean null. #}
{% macro known_text(column) -%}
    case when {{ column }} not in ('', 'NULL', 'null', 'NaN', 'N/A', 'n/a', 'Not Available') then {{ column }} end
{%- endmacro %}


{# The statements of instruments that have several, judged; columns are the few that judging
   takes. Most instruments have one statement, which is version 1 and needs no sort: an instrument
   that is not here is such a one.

   outcome: version, unchanged (says what already held), superseded (another statement of the same
   as-of time landed later). Validity is kept to the microsecond, so statements that differ by less
   are of one time, and the later counts. #}
{% macro judged_statements(landed) %}
    select
        * exclude (change_hash, previous_hash, was_deleted, rank_at_as_of),
        coalesce(was_deleted, false) as was_deleted,
        case
            when rank_at_as_of > 1 then 'superseded'
            when change_hash = previous_hash or (is_deleted and was_deleted) then 'unchanged'
            else 'version'
        end as outcome
    from (
        select
            *,
            lag(change_hash) over in_order as previous_hash,
            lag(is_deleted) over in_order as was_deleted
        from (
            select
                l.instrument_id,
                l.unit,
                l.position,
                l.as_of,
                l.as_of_ns,
                l.status = 'DELETED' as is_deleted,
                {{ change_hash('l') }} as change_hash,
                row_number() over (
                    partition by l.instrument_id, l.as_of
                    order by
                        l.as_of_ns desc, l.recv_ts_ns desc nulls last, l.unit desc, l.position desc
                ) as rank_at_as_of
            from {{ landed }} as l
            inner join (
                select instrument_id from {{ landed }} group by instrument_id having count(*) > 1
            ) as repeated on l.instrument_id = repeated.instrument_id
        )
        window in_order as (partition by instrument_id, rank_at_as_of > 1 order by as_of_ns)
    )
{% endmacro %}
