-- Each commit of a unit starts where the one before it ended, and the first starts at 0.
select *
from (
    select
        *,
        lag(next_position, 1, 0) over (
            partition by dataset, unit order by version
        ) as expected_first
    from {{ ref('account_landing') }}
)
where first_position <> expected_first
