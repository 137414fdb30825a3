{# Lines of an account table, a row per line and measure, as audit.accounts shows them.

     lines     the account table
     account   SQL of what is said of the line: left = right
     scope     SQL of what it speaks of: a dataset or a table
     measures  {measure: [left, right, difference]}, SQL of each
     unit, instrument, venue, hour   SQL of where, null where the account is not cut so
     left_out  columns of rows that are accounted for by a reason, named <reason>_rows #}
{% macro account_lines(
    lines, account, scope, measures, hour, unit='null', instrument='null', venue='null', left_out=[]
) %}
    {% for measure, sides in measures.items() %}
        select
            {{ account }} as account,
            {{ scope }} as scope,
            '{{ measure }}' as measure,
            cast({{ unit }} as varchar) as unit,
            cast({{ instrument }} as varchar) as instrument_id,
            cast({{ venue }} as varchar) as venue,
            {{ hour }} as hour,
            cast({{ sides[0] }} as decimal(38, 12)) as left_amount,
            cast({{ sides[1] }} as decimal(38, 12)) as right_amount,
            cast({{ sides[2] }} as decimal(38, 12)) as difference,
            {{ left_out_text(left_out) }} as left_out
        from {{ lines }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
{% endmacro %}


{# What was left out and why, as text: `3 outlier, 1 not_volume_eligible`; null where nothing was. #}
{% macro left_out_text(reasons) -%}
    {%- if not reasons -%} cast(null as varchar)
    {%- else -%}
    nullif(concat_ws(', ' {%- for reason in reasons %},
        case when {{ reason }}_rows <> 0 then concat({{ reason }}_rows, ' {{ reason }}') end
    {%- endfor %}), '')
    {%- endif -%}
{%- endmacro %}


{# The difference of an account of positions: of rows, or 1 where their positions are wrong. #}
{% macro with_positions(difference) -%}
    case when {{ difference }} = 0 and not has_right_positions then 1 else {{ difference }} end
{%- endmacro %}


{# Both sides of lines `silver = gold + excluded by reason` in rows, quantity and notional.

     reasons  names; `silver` and `gold` have account, instrument_id, venue, event_hour and n,
              quantity, notional; silver has <reason>_rows, _quantity and _notional as well #}
{% macro silver_against_gold(silver, gold, reasons) %}
    select
        coalesce(s.account, g.account) as account,
        coalesce(s.instrument_id, g.instrument_id) as instrument_id,
        coalesce(s.venue, g.venue) as venue,
        coalesce(s.event_hour, g.event_hour) as event_hour,
        {% for measure, column, kind in amounts() %}
            cast(coalesce(s.{{ column }}, 0) as {{ kind }}) as silver_{{ measure }},
            cast(coalesce(g.{{ column }}, 0) as {{ kind }}) as gold_{{ measure }},
            {% for reason in reasons %}
                cast(coalesce(s.{{ reason }}_{{ measure }}, 0) as {{ kind }}) as {{ reason }}_{{ measure }},
            {% endfor %}
        {% endfor %}
        {% for measure, column, kind in amounts() %}
            cast(
                coalesce(s.{{ column }}, 0) - coalesce(g.{{ column }}, 0)
                {% for reason in reasons %} - coalesce(s.{{ reason }}_{{ measure }}, 0) {% endfor %} as {{ kind }}
            ) as {{ 'difference' if measure == 'rows' else measure ~ '_difference' }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ silver }} as s
    full join {{ gold }} as g
        on s.account = g.account
        and s.instrument_id = g.instrument_id
        and s.event_hour = g.event_hour
        and s.venue = g.venue
{% endmacro %}


{# Measure, the column that holds it, and its type. #}
{% macro amounts() %}
    {% do return([
        ('rows', 'n', 'bigint'),
        ('quantity', 'quantity', 'decimal(38, 8)'),
        ('notional', 'notional', 'decimal(38, 12)'),
    ]) %}
{% endmacro %}


{# Rows, quantity and notional of what is left out for each reason, where `excluded_by` says why. #}
{% macro sums_by_reason(reasons) %}
    {%- for reason in reasons %}
    {%- set excluded = "filter (where excluded_by = '" ~ reason ~ "')" %}
    count(*) {{ excluded }} as {{ reason }}_rows,
    coalesce(sum(quantity) {{ excluded }}, 0) as {{ reason }}_quantity,
    coalesce(sum(notional) {{ excluded }}, 0) as {{ reason }}_notional{{ ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}
