"""The day flow: land a day's units, recompute the day from bronze, judge and close it."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, task

from contracts.names import dataset_names
from ticklake.flow_defaults import flow_defaults

DOC = """
### day
Recomputes one UTC day, 00:00 to 24:00, from bronze and publishes only what differs.

| started | is for |
|---|---|
| by the schedule, at 00:00 UTC | the day that has just ended |
| as a backfill, over a range | each day of the range; runs may overlap with `live` |
| by hand with `day` | that day, also when it is years back or today |
| by hand without `day` | the run's data interval, or yesterday where it has none |

| task | does | promises |
|---|---|---|
| `land` | lands that day's inbox units and catches up with the topics | each unit lands once |
| `build` | recomputes the day whole, tests it, publishes it | the same bronze gives the same rows |
| `reconcile` | reads the accounts of what is published | red when one does not close, naming it |

**Backfill** from here: Trigger, then "Backfill", then the range. From a shell:

    airflow backfill create --dag-id day --from-date 2025-10-01 --to-date 2025-10-05 \\
        --reprocess-behavior completed

Both ends are included; `--reprocess-behavior` says what to do about days that have a run already.
"""

PARAMS = {
    "day": Param(
        None,
        type=["null", "string"],
        format="date",
        examples=["2013-10-08"],
        title="Day (UTC)",
        description="Only for a run started by hand: the day to recompute, YYYY-MM-DD, for "
        "example `2013-10-08`. Empty: the run's data interval. Leave empty in a backfill.",
    ),
    "datasets": Param(
        [],
        type="array",
        items={"type": "string"},
        uniqueItems=True,
        examples=dataset_names(),
        title="Datasets",
        description="Topics to catch up with first, for example `trades`. Empty: all of them.",
    ),
    "full_refresh": Param(
        False,
        type="boolean",
        title="Full refresh",
        description="Rebuild every table whole, not only this day. Gives the same rows, later.",
    ),
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
    """Land, build, reconcile."""

    @task(pool="lander")
    def land(
        params: dict[str, Any] | None = None,
        dag_run: Any = None,
        data_interval_start: datetime | None = None,
        data_interval_end: datetime | None = None,
    ) -> dict[str, Any]:
        from ticklake import flows

        asked = params or {}
        interval = (data_interval_start, data_interval_end)
        return flows.land_day(asked["day"], interval, dag_run.run_type, asked["datasets"])

    @task(pool="builder")
    def build(landed: Any, params: dict[str, Any] | None = None) -> dict[str, Any]:
        from ticklake import flows

        asked = params or {}
        return flows.build(landed["start"], landed["end"], full_refresh=asked["full_refresh"])

    @task
    def reconcile() -> dict[str, Any]:
        from ticklake import flows

        return flows.reconcile()

    build(land()) >> reconcile()


day()
