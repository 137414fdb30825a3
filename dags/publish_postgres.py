"""The publish_postgres flow: after each publication, copy to PostgreSQL what it changed."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

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
    "full_refresh": Param(
        False,
        type="boolean",
        title="Full refresh",
        description="Copy all tables anew, also what has not changed.",
    ),
}


@dag(
    dag_id="publish_postgres",
    schedule=[Asset(name="gold", uri="ticklake://gold", group="market-data")],
    start_date=datetime(2010, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    is_paused_upon_creation=False,
    params=PARAMS,
    tags=["publish_postgres", "market-data"],
    doc_md=DOC,
    default_args={
        "owner": "market-data",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=5),
    },
)
def publish_postgres() -> None:
    """Publish."""

    @task
    def publish(params: dict[str, Any] | None = None) -> dict[str, Any]:
        from ticklake import flows_postgres

        return flows_postgres.publish_postgres(full_refresh=bool(params and params["full_refresh"]))

    publish()


if os.environ.get("TICKLAKE_POSTGRES"):
    publish_postgres()
