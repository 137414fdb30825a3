{# What the engines do differently: `duckdb__x` lies with its subject, `spark__x` here. #}

{% macro local_time(moment, zone) -%} {{ adapter.dispatch('local_time')(moment, zone) }} {%- endmacro %}
{% macro utc_of(local, zone) -%} {{ adapter.dispatch('utc_of')(local, zone) }} {%- endmacro %}
{% macro iso_weekday(date) -%} {{ adapter.dispatch('iso_weekday')(date) }} {%- endmacro %}
{% macro minutes(count) -%} {{ adapter.dispatch('minutes')(count) }} {%- endmacro %}
{% macro hex_of(text) -%} {{ adapter.dispatch('hex_of')(text) }} {%- endmacro %}
{% macro sha256_of(text) -%} {{ adapter.dispatch('sha256_of')(text) }} {%- endmacro %}
{% macro prior_prices() -%} {{ adapter.dispatch('prior_prices')() }} {%- endmacro %}
{% macro canonical(column) -%} {{ adapter.dispatch('canonical')(column) }} {%- endmacro %}


{# Spark's timestamps are moments; one without zone is kept as the moment that shows so in UTC. #}
{% macro spark__local_time(moment, zone) -%}
    from_utc_timestamp({{ moment }}, {{ zone }})
{%- endmacro %}

{% macro spark__utc_of(local, zone) -%}
    to_utc_timestamp({{ local }}, {{ zone }})
{%- endmacro %}

{% macro spark__iso_weekday(date) -%}
    (weekday(cast({{ date }} as date)) + 1)
{%- endmacro %}

{% macro spark__minutes(count) -%}
    make_dt_interval(0, 0, {{ count }})
{%- endmacro %}

{% macro spark__hex_of(text) -%}
    try_cast(conv({{ text }}, 16, 10) as bigint)
{%- endmacro %}

{% macro spark__sha256_of(text) -%}
    sha2({{ text }}, 256)
{%- endmacro %}

{% macro spark__canonical(column) -%}
    case when contains(cast({{ column }} as string), '.')
        then trim(trailing '.' from trim(trailing '0' from cast({{ column }} as string)))
        else cast({{ column }} as string) end
{%- endmacro %}

{# Spark has no quantiles over a moving frame: the middle ones of the sorted frame. #}
{% macro spark__prior_prices() -%}
    {%- if var('outlier_method') == 'rolling_mean50' %}
        cast(coalesce(sum(price) over prior, 0) as decimal(38, 9)) as prior_low,
        cast(coalesce(sum(price) over prior, 0) as decimal(38, 9)) as prior_high,
        count(*) over prior as prior_count
    {%- else %}
        get(sort_array(collect_list(price) over prior), cast((count(*) over prior - 1) div 2 as int)) as prior_low,
        get(sort_array(collect_list(price) over prior), cast(count(*) over prior div 2 as int)) as prior_high,
        count(*) over prior as prior_count
    {%- endif %}
{%- endmacro %}
