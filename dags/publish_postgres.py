"""The publish_postgres flow: after each publication, copy to PostgreSQL what it changed."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from ticklake import flow_params
from ticklake.flow_assets import GOLD
from ticklake.flow_defaults import flow_defaults

DOC = """
### publish_postgres
Readers of a PostgreSQL database see what readers of the lake see. It is here where
`TICKLAKE_POSTGRES` names that database.

| task | does | promises |
|---|---|---|
| `publish` | replaces what the newest publication changed | all tables at once; twice is once |

**When it is red.** The log says which: the server does not answer or refuses the user, a reader
holds a table that must be made anew, or the database holds another lake's publication.
`ticklake postgres publish` does the same by hand; `ticklake reconcile` compares both sides.

Trigger it by hand at any time; with "Full refresh" it copies all tables anew.
"""

PARAMS = {
    "full_refresh": flow_params.switch(
        "Full refresh", "Copy all tables anew, also what has not changed."
    ),
}


@dag(
    **flow_defaults(
        "publish_postgres", run_timeout=timedelta(hours=6), retry_delay=timedelta(seconds=30)
    ),
    schedule=[GOLD],
    params=PARAMS,
    doc_md=DOC,
)
def publish_postgres() -> None:
    """Publish."""

    @task(inlets=[GOLD])
    def publish(params: Any = None) -> dict[str, Any]:
        from ticklake import flows_postgres

        return flows_postgres.publish_postgres(full_refresh=params["full_refresh"])

    publish()


if os.environ.get("TICKLAKE_POSTGRES"):
    publish_postgres()
