{{ config(
    enabled=active_recipes('trades') | length + active_recipes('quotes') | length > 0,
    by=['instrument_id', 'event_hour'],
    reach={'gold.recipe_trades': 'session', 'gold.recipe_quotes': 'session'},
) }}

-- What each step of each recipe met, removed and left, per instrument and session.
with steps as (
    {{ recipe_catalog() }}
),

rows_of as (
    {% for dataset in ['trades', 'quotes'] if active_recipes(dataset) %}
        {{ "union all" if not loop.first }}
        select '{{ dataset }}' as dataset, recipe, instrument_id, session_date, removed_by, count(*) as n
        from {{ touched(ref('recipe_' ~ dataset)) }}
        group by recipe, instrument_id, session_date, removed_by
    {% endfor %}
),

totals as (
    select dataset, recipe, instrument_id, session_date, sum(n) as met
    from rows_of
    group by dataset, recipe, instrument_id, session_date
),

counted as (
    select
        s.*,
        t.instrument_id,
        t.session_date,
        t.met,
        coalesce(r.n, 0) as removed,
        sum(coalesce(r.n, 0)) over (
            partition by s.recipe, s.dataset, t.instrument_id, t.session_date order by s.step_number
        ) as removed_so_far
    from steps as s
    inner join totals as t on s.dataset = t.dataset and s.recipe = t.recipe
    left join rows_of as r
        on s.dataset = r.dataset and s.recipe = r.recipe and s.step = r.removed_by
        and t.instrument_id = r.instrument_id and t.session_date = r.session_date
)

select
    recipe, cast(recipe_version as integer) as recipe_version, dataset, instrument_id, session_date,
    {{ session_start('session_date', calendar_of()) }} as event_hour,
    cast(step_number as integer) as step_number, step, rule,
    cast(met - removed_so_far + removed as bigint) as rows_in,
    cast(removed as bigint) as rows_removed,
    cast(met - removed_so_far as bigint) as rows_out
from counted
