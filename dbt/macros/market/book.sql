{#
    The order book of single orders, L3 (analytics.md 10, 23.1). An order's price comes from its
    last A or M, its size from that less what C took since: sums over its own messages, no replay.
#}

{# The messages of one book in their order. A book is what one source says of one venue, in one
   session: it starts empty. #}
{% macro book_window() -%}
    (
        partition by is_duplicate, source, venue, instrument_id, session_date
        order by event_ts_ns, tie_order
        rows between unbounded preceding and current row
    )
{%- endmacro %}


{# The messages of one order between two clearings of its book; `more` cuts them further. #}
{% macro order_window(more=[], frame='') -%}
    (
        partition by is_duplicate, source, venue, instrument_id, session_date, order_id, clearings
        {%- for column in more %}, {{ column }}{% endfor %}
        order by event_ts_ns, tie_order
        {{ frame }}
    )
{%- endmacro %}


{# What is wrong with a message, given the size its order had before it; null if nothing is.
   All findings are kept and counted; none stops a build. #}
{% macro order_finding() -%}
    case
        when is_duplicate then 'DUPLICATE'
        when msg_type = 'R' then null
        when order_id is null then 'NO_ORDER_ID'
        when msg_type = 'A' and size_before > 0 then 'DOUBLE_ADD'
        when msg_type = 'M' and size_before = 0 then 'ORPHAN_MODIFY'
        when msg_type in ('C', 'T') and size_before = 0 then 'ORPHAN_CANCEL'
        when msg_type in ('C', 'T') and quantity > size_before then 'OVER_CANCEL'
    end
{%- endmacro %}


{# How many moments of a book are looked at together: a level that is not among the five best of
   those that stand throughout a bucket cannot be a level of the depth within it. #}
{% macro book_bucket() -%}
    32
{%- endmacro %}


{# The whole numbers of [first, last), to join laterally. #}
{% macro numbers_within(first, last) -%}
    unnest(range({{ first }}, {{ last }}))
{%- endmacro %}
