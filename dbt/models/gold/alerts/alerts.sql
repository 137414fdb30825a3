{{ config(materialized='view') }}

{% for rule in [
    'price_alerts', 'volume_alerts', 'gap_alerts', 'arbitrage_alerts', 'limit_alerts', 'imbalance_alerts',
] %}
    select * from {{ ref(rule) }}
    {{ 'union all' if not loop.last }}
{% endfor %}
