{#
    Posts and what they say (analytics.md 20).
#}

{# Scorer and version, stored with each score. A new one makes every score anew. #}
{% macro scorer() %}{% do return('vader-3.3.2') %}{% endmacro %}


{# The score of a text, from -1 to 1 with four decimals; lake/scoring.py gives it to DuckDB. #}
{% macro sentiment_score(text) -%}
    {{ return(adapter.dispatch('sentiment_score')(text)) }}
{%- endmacro %}

{% macro default__sentiment_score(text) -%}
    cast(sentiment_score({{ text }}) as decimal(5, 4))
{%- endmacro %}


{# A relation with columns `keep` and one row per `symbol` that a post names: those its source
   found, cashtags of one to five capitals, and bare words of variable `bare_tickers`. #}
{% macro symbols_named(posts, keep) -%}
    {{ return(adapter.dispatch('symbols_named')(posts, keep)) }}
{%- endmacro %}

{% macro default__symbols_named(posts, keep) -%}
    select {{ keep | join(', ') }}, unnest(list_distinct(
        coalesce(tickers, cast([] as varchar []))
        || regexp_extract_all(text, '\$([A-Z]{1,5})\b', 1)
        {%- if var('bare_tickers') %}
        || regexp_extract_all(text, '\b({{ var("bare_tickers") | join("|") }})\b', 1)
        {%- endif %}
    )) as symbol
    from {{ posts }}
{%- endmacro %}


{# ln(1 + votes) + 1; what was voted down counts as one. #}
{% macro engagement_weight(votes) -%}
    {{ summand('ln(1 + greatest(coalesce(' ~ votes ~ ', 0), 0)) + 1') }}
{%- endmacro %}
