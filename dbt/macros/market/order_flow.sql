{# Book updates without their copies, which are told as those of trades are (analytics.md 3): by the
   venue's sequence at its time, else by content and occurrence within one delivery. #}
{% macro distinct_updates(landed) %}
    with identified as (
        select
            *,
            {{ key_of(["'sequence'", 'source', 'venue', 'instrument_id', 'event_ts_ns', 'sequence']) }}
                as update_key
        from {{ landed }}
        where dedup_rule = 'sequence'
        union all
        select *, {{ key_of(['unit', 'position']) }}
        from {{ landed }}
        where dedup_rule = 'position'
        union all
        select * exclude (fingerprint, occurrence), {{ key_of(['fingerprint', 'occurrence']) }}
        from ({{ counted_contents(landed, [
            'source', 'venue', 'instrument_id', 'event_ts_ns', 'side', 'order_type', canonical('price'),
            canonical('quantity'), 'order_id',
        ]) }})
    )

    select * from identified
    qualify row_number() over (partition by update_key order by unit, position) = 1
{% endmacro %}
