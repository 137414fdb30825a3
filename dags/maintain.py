"""The maintain flow: each night, put small files together, remove what nobody needs, verify."""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from ticklake import flow_params
from ticklake.flow_defaults import flow_defaults

DOC = """
### maintain
Keeps the lake small and whole.

| task | does | promises |
|---|---|---|
| `maintain` | puts small files together, brings the ledger up, makes checkpoints, removes what nobody can still be reading | no row is lost, no reader or writer disturbed; what a build or a publication has pinned stays, whatever its age; no log is shortened before the ledger has it |
| `verify` | looks at every log and file | red, naming each file that is broken and what to do |

**When it is red.** `maintain`: another maintenance runs, or a file is damaged; the log names it.
`verify`: the log names the file and the remedy; `ticklake verify` shows the same.

Trigger it by hand at any time. It waits for a build to end, and builds wait for it.
"""  # noqa: E501

PARAMS = {
    "dry_run": flow_params.dry_run("Say in the log what would be put together and removed."),
    "deep": flow_params.switch(
        "Verify deeply", "Read every page of every file, not only logs and footers."
    ),
}


@dag(
    **flow_defaults(
        "maintain",
        run_timeout=timedelta(hours=6),
        retry_delay=timedelta(minutes=5),
        max_retry_delay=timedelta(minutes=30),
    ),
    schedule="30 3 * * *",
    params=PARAMS,
    doc_md=DOC,
)
def maintain() -> None:
    """Maintain, then verify."""

    @task(task_id="maintain", pool="builder")
    def tidy(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        from ticklake import flows_maintain

        return flows_maintain.maintain(dry_run=bool(params and params["dry_run"]))

    @task
    def verify(params: dict[str, Any] | None = None) -> dict[str, int]:
        from ticklake import flows_maintain

        return flows_maintain.verify(deep=bool(params and params["deep"]))

    tidy() >> verify()


maintain()
