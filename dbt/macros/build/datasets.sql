{# Made from contracts/ by `python -m contracts.derive.dbt_sources`; not to be edited. #}
{% macro datasets() %}
    {% do return([
        'alerts',
        'bars',
        'book_updates',
        'market_data',
        'orders',
        'positions',
        'posts',
        'quotes',
        'securities',
        'trades',
    ]) %}
{% endmacro %}
