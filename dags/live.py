"""The live flow: every five minutes, land what waits, build what it touched, judge the accounts."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from contracts.names import dataset_names
from ticklake.flow_defaults import flow_defaults

DOC = """
### live
Keeps gold a few minutes behind the market.

| task | does | promises |
|---|---|---|
| `land` | lands inbox files and topics no `ticklake ingest --follow` holds | each lands once |
| `build` | rebuilds what was touched, tests it, publishes it | readers see all of it or nothing |
| `reconcile` | reads the accounts of what is published | red, naming one that does not close |

**When it is red.** `land`: is the broker up? It is tried again by itself. `build`: an invariant
test failed, readers keep what they had; the log names the test. `reconcile`: the log names the
account, its scope and the difference; `ticklake reconcile` shows the same.

Trigger it by hand at any time; it may overlap with `day` and with a backfill.
"""

PARAMS = {
    "datasets": Param(
        [],
        type="array",
        items={"type": "string"},
        uniqueItems=True,
        examples=dataset_names(),
        title="Datasets",
        description="Topics to land, for example `trades`. Empty: all of them.",
    ),
}


@dag(
    **flow_defaults(
        "live",
        run_timeout=timedelta(hours=1),
        late_after=timedelta(minutes=20),
        retry_delay=timedelta(seconds=10),
        max_retry_delay=timedelta(minutes=2),
        # The desk's minutes come before a backfill's years.
        priority_weight=100,
    ),
    schedule="*/5 * * * *",
    params=PARAMS,
    doc_md=DOC,
)
def live() -> None:
    """Land, build, reconcile."""

    @task(pool="lander")
    def land(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        from ticklake import flows

        return flows.land(params["datasets"] if params else ())

    @task(pool="builder")
    def build() -> dict[str, Any]:
        from ticklake import flows

        return flows.build()

    @task
    def reconcile() -> dict[str, Any]:
        from ticklake import flows

        return flows.reconcile(quick=True)

    land() >> build() >> reconcile()


live()
