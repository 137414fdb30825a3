"""The day flow: land a day's units, recompute the day from bronze, judge and close it."""

from datetime import timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, task

from ticklake import flow_params
from ticklake.flow_assets import (
    BRONZE,
    CLOSED_DAYS,
    GOLD,
    announce,
    announce_build,
    of_days,
    of_landing,
)
from ticklake.flow_defaults import flow_defaults

DOC = """
### day
Recomputes one UTC day, 00:00 to 24:00, from bronze and publishes only what differs.

| started | is for |
|---|---|
| by the schedule, at 00:00 UTC | the day that has just ended |
| as a backfill, over a range | each day of the range; runs may overlap with `live` |
| by hand with `day` | that day, also when it is years back or today |
| by hand with `from` and `to` | all days of the range, both ends included, in one build |
| by hand without | the run's data interval, or yesterday where it has none |

| task | does | promises |
|---|---|---|
| `check` | looks at what was asked for | what does not go together is refused at once, saying why |
| `land` | lands those days' inbox units and catches up with the topics | each unit lands once |
| `build` | recomputes the days whole, tests them, publishes | the same bronze gives the same rows |
| `reconcile` | reads the accounts of what is published | red when one does not close, naming it |

With `dry_run` the log says what waits and which hours would be rebuilt; nothing is changed.
`land` announces the asset `bronze` and `build` announces `gold`, where something changed;
`reconcile` announces `closed_days`, which starts the flow `reconcile`.

**Backfill** from here: Trigger, then "Backfill", then the range. From a shell:

    airflow backfill create --dag-id day --from-date 2025-10-01 --to-date 2025-10-05 \\
        --reprocess-behavior completed

Both ends are included; `--reprocess-behavior` is for days that have a run already.
"""

PARAMS = {
    "day": flow_params.day(
        "Day (UTC)",
        "Only for a run started by hand: the one day to recompute. Empty: the range below, or "
        "else the run's data interval. Leave empty in a backfill.",
    ),
    "from": flow_params.day(
        "From (UTC)",
        "The first day of a range that one run recomputes. A backfill makes a run for each day.",
    ),
    "to": flow_params.day("To (UTC)", "The last day of the range; it is included."),
    "datasets": flow_params.datasets("What to land first, for example `trades`."),
    "full_refresh": flow_params.full_refresh(),
    "dry_run": flow_params.dry_run("Say in the log what waits and what would be rebuilt."),
}


@dag(
    **flow_defaults(
        "day",
        run_timeout=timedelta(hours=12),
        late_after=timedelta(hours=4),
        max_active_runs=4,
        tags=["backfill"],
    ),
    # A preset or a bare cron string would give an interval of zero length.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    params=PARAMS,
    doc_md=DOC,
)
def day() -> None:
    """Check, land, build, reconcile."""

    @task
    def check(**context: Any) -> dict[str, Any]:
        from ticklake import flows_asked

        interval = (context.get("data_interval_start"), context.get("data_interval_end"))
        return flows_asked.days(context["params"], interval, context["dag_run"].run_type)

    @task(pool="lander", outlets=[BRONZE])
    def land(asked: Any, params: Any = None) -> dict[str, Any]:
        from ticklake import flows

        landed = flows.land_day(asked, params["datasets"])
        announce(BRONZE, of_landing(landed["landed"]))
        return landed

    @task(pool="builder", inlets=[BRONZE, GOLD], outlets=[GOLD])
    def build(landed: Any, params: Any = None) -> dict[str, Any]:
        from ticklake import flows

        how = {"full_refresh": params["full_refresh"], "dry_run": landed["dry_run"]}
        built = flows.build(landed["start"], landed["end"], **how)
        announce_build(built)
        return built

    @task(inlets=[GOLD], outlets=[CLOSED_DAYS])
    def reconcile(landed: Any) -> dict[str, Any]:
        from ticklake import flows

        accounts = flows.reconcile(dry_run=landed["dry_run"])
        announce(CLOSED_DAYS, of_days(landed, accounts))
        return accounts

    landed = land(check())
    build(landed) >> reconcile(landed)


day()
