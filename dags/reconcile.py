"""The reconcile flow: once days are closed, every judgment of them, each a task that may be red."""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from ticklake import flow_params
from ticklake.flow_assets import CLOSED_DAYS
from ticklake.flow_defaults import flow_defaults

DOC = """
### reconcile
Judges what is published, and writes the pages that show it. Lands nothing, builds nothing.

| started | judges |
|---|---|
| by `day`, when it has closed a day | the days closed since the last run, once for all of them |
| by hand with `day` | that day |
| by hand without | every day |

| task | judges | red when |
|---|---|---|
| `check` | the form | the day has not begun, a table is not published |
| `accounts` | every account, from the broker to the files that readers get | one does not close |
| `drift` | candles made while landing against those of the build | a width is beyond its limit |
| `expectations` | what contracts and models promise of tables, as Data Docs | one does not hold |
| `condition` | is a dataset's day available, degraded, pending or missing | never: it warns |
| `profile` | gaps, outliers, completeness; writes a page for each day | never |

**When it is red.** The red task's log names the account, the drift or the expectation, and the
command that shows more: `ticklake reconcile`, `ticklake drift`, `ticklake expect`. The others are
judged all the same.
"""

PARAMS = {
    "day": flow_params.day(
        "Day (UTC)",
        "The day whose drift, condition and profile are looked at; accounts and expectations are "
        "always those of all that is published. Empty: the days that were just closed, or every "
        "day.",
    ),
    "tables": flow_params.tables("Whose expectations are judged, for example `gold.candles_1m`."),
}


@dag(
    **flow_defaults("reconcile", run_timeout=timedelta(hours=2), tags=["quality"]),
    # Not by the clock: a day is judged when it is closed, also a backfilled one. Days that are
    # closed while a run judges wait, and the next run judges them together.
    schedule=[CLOSED_DAYS],
    max_active_tasks=1,  # a desk's cores belong to landing and building
    params=PARAMS,
    doc_md=DOC,
)
def reconcile() -> None:
    """Check, then judge in five ways."""

    @task
    def check(params: Any = None, triggering_asset_events: Any = None) -> dict[str, Any]:
        from ticklake import flows_asked

        closed = [event.extra or {} for event in triggering_asset_events.get(CLOSED_DAYS, ())]
        return flows_asked.judged_days(params["day"], params["tables"], closed)

    @task
    def accounts() -> dict[str, Any]:
        from ticklake import flows

        return flows.reconcile()

    @task
    def drift(asked: Any) -> dict[str, Any]:
        from ticklake import flows

        return flows.drift(asked["days"])

    @task
    def expectations(asked: Any) -> dict[str, Any]:
        from ticklake import flows_expect

        return flows_expect.expect(asked["tables"])

    @task
    def condition(asked: Any) -> dict[str, Any]:
        from ticklake import flows_close

        return flows_close.condition(asked["days"])

    @task
    def profile(asked: Any) -> list[str]:
        from ticklake import flows_close

        return flows_close.profile(asked["days"])

    asked = check()
    asked >> accounts()
    drift(asked)
    expectations(asked)
    condition(asked)
    profile(asked)


reconcile()
