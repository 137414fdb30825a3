{# The rows of `input` with what the steps of a recipe did to them: `removed_by` is the step that a
   row fell to, null where it stays. `input` has the columns named in `alive`. #}
{% macro recipe_chain(input, steps) %}
    {%- set chain = namespace(sql='(select *, cast(null as varchar) as removed_by from ' ~ input ~ ')') -%}
    {%- set waiting = [] -%}
    {%- for step in steps -%}
        {%- if step.measures or step.change -%}
            {%- set chain.sql = recipe_pass(chain.sql, waiting) -%}
            {%- do waiting.clear() -%}
            {%- set chain.sql = recipe_pass(chain.sql, [step]) -%}
        {%- else -%}
            {%- do waiting.append(step) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ recipe_pass(chain.sql, waiting) }}
{% endmacro %}


{# One pass over the rows: the measures, what is removed, what is changed. #}
{% macro recipe_pass(rows, steps) -%}
    {%- set inner = namespace(sql=rows) -%}
    {%- set named = [] -%}
    {%- set tests = [] -%}
    {%- set changes = [] -%}
    {%- for step in steps -%}
        {%- for level in step.measures or [] -%}
            {%- set inner.sql = '(select *, ' ~ level | join(', ') ~ ' from ' ~ inner.sql ~ ' as r)' -%}
            {%- for measure in level -%}{%- do named.append(measure.split(' ')[-1]) -%}{%- endfor -%}
        {%- endfor -%}
        {%- do tests.append("when " ~ step.remove ~ " then '" ~ step.step ~ "'") -%}
        {%- for column, expression in (step.change or {}).items() -%}
            {%- do changes.append(
                'case when removed_by is null and not coalesce(' ~ step.remove ~ ', false) then '
                ~ expression ~ ' else ' ~ column ~ ' end as ' ~ column
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not steps -%} {{ rows }}
    {%- else -%}
    (
        select
            * {% if named %}exclude ({{ named | join(', ') }}) {% endif -%}
            replace (
                coalesce(removed_by, case {{ tests | join(' ') }} end) as removed_by
                {%- for change in changes %}, {{ change }}{% endfor %}
            )
        from {{ inner.sql }} as r
    )
    {%- endif -%}
{%- endmacro %}


{# What a window of a step is cut by: a session's rows that earlier steps left. #}
{% macro alive(more='') -%}
    partition by removed_by is null, instrument_id, session_date{{ ', ' ~ more if more }}
{%- endmacro %}


{# Twice the median, exactly: the sum of the two middle values, or twice the middle one. #}
{% macro twice_median(value, over) -%}
    cast({{ lower_median(value) }} over ({{ over }}) as decimal(38, 10))
    - {{ lower_median('-(' ~ value ~ ')') }} over ({{ over }})
{%- endmacro %}


{# Half of a decimal, exactly. #}
{% macro half(value, precision=28, scale=10) -%}
    cast(({{ value }}) * cast(0.5 as decimal(2, 1)) as decimal({{ precision }}, {{ scale }}))
{%- endmacro %}


{# The values of up to `before` rows before and `after` rows after a row, without its own, as a list. #}
{% macro neighbours(value, over, before, after) -%}
    coalesce(list({{ value }}) over (
        {{ over }} rows between {{ before }} preceding and {{ after }} following exclude current row
    ), [])
{%- endmacro %}


{# Of a list of doubled values and a doubled centre: the sum of distances from the centre. #}
{% macro distances(values, centre) -%}
    list_sum(list_transform({{ values }}, lambda x: abs(2 * x - {{ centre }})))
{%- endmacro %}


{# A list without its lowest and highest `share`, as many on each side, rounded down. #}
{% macro trimmed(values, share) -%}
    list_sort({{ values }})[
        cast(floor(len({{ values }}) * {{ share }}) as bigint) + 1
        : len({{ values }}) - cast(floor(len({{ values }}) * {{ share }}) as bigint)
    ]
{%- endmacro %}
