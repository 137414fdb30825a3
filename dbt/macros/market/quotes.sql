{# Is the quote `q` still in force at trade `t`? Dealer runs live 15 minutes (analytics.md 9). #}
{% macro quote_lives() -%}
    (t.event_ts_ns - q.event_ts_ns) // 1000000000 < {{ var('quote_ttl_seconds') }}
{%- endmacro %}
