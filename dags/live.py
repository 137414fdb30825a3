"""The live flow: every five minutes, land what waits, build what it touched, judge the accounts."""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from ticklake import flow_params
from ticklake.flow_assets import BRONZE, GOLD, announce, announce_build, of_landing
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

Trigger it by hand at any time; it may overlap with `day` and with a backfill. With `dry_run` it
says in the log what waits in inbox and topics and which hours would be rebuilt, and changes
nothing.

`land` announces the asset `bronze`, `build` announces `gold`, each only when something changed; the
event says how many rows, how many rejected, and which hours, by dataset.
"""

PARAMS = {
    "datasets": flow_params.datasets("What to land, for example `trades`."),
    "full_refresh": flow_params.full_refresh(),
    "dry_run": flow_params.dry_run("Say in the log what waits and what would be rebuilt."),
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

    @task(pool="lander", outlets=[BRONZE])
    def land(params: Any = None) -> list[dict[str, Any]]:
        from ticklake import flows

        landed = flows.land(params["datasets"], dry_run=params["dry_run"])
        announce(BRONZE, of_landing(landed))
        return landed

    @task(pool="builder", inlets=[BRONZE, GOLD], outlets=[GOLD])
    def build(params: Any = None) -> dict[str, Any]:
        from ticklake import flows

        built = flows.build(full_refresh=params["full_refresh"], dry_run=params["dry_run"])
        announce_build(built)
        return built

    @task
    def reconcile(params: Any = None) -> dict[str, Any]:
        from ticklake import flows

        return flows.reconcile(quick=True, dry_run=params["dry_run"])

    land() >> build() >> reconcile()


live()
