"""The replay flow: rejected records are judged again by today's contracts, when somebody asks."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from contracts.codes import RejectCode
from contracts.names import dataset_names
from ticklake import flow_params
from ticklake.flow_assets import BRONZE, announce, of_replay
from ticklake.flow_defaults import flow_defaults

DOC = """
### replay_quarantine
Judges rejected records again, by today's contracts and feed mappings, and lands those that pass.
Start it by hand after a contract was extended or a mapping mended; begin with `dry_run`.

| task | does | promises |
|---|---|---|
| `check` | looks at the form | a moment in the future is refused at once |
| `replay` | judges what is open and asked for | each lands once, also when killed or run twice |

The log says per dataset how many were looked at, how many passed and why the others did not; the
task's return value holds the same. The next `live` run builds the hours that were touched.

**When it is red.** A wrong parameter is named in the log. Anything else is tried again by itself;
what it landed stays landed. `ticklake quarantine list` shows where things stand.
"""

PARAMS = {
    "dataset": Param(
        "all",
        type="string",
        enum=["all", *dataset_names()],
        title="Dataset",
        description="Whose records to judge again, for example `trades`.",
    ),
    "code": Param(
        "all",
        type="string",
        enum=["all", *(code.value for code in RejectCode)],
        title="Reject code",
        description="Only records rejected for this reason, for example `SCHEMA_TYPE`.",
    ),
    "source": Param(
        None,
        type=["null", "string"],
        examples=["market.trades.v1", "generic_trades"],
        title="Source",
        description="Only records of this topic or feed. Empty: all of them.",
    ),
    "since": Param(
        None,
        type=["null", "string"],
        format="date-time",
        examples=["2025-10-02T00:00:00Z"],
        title="Landed since (UTC)",
        description="Only records that were landed at or after this moment. Empty: all of them.",
    ),
    "dry_run": flow_params.dry_run("Say what would pass."),
}


@dag(
    **flow_defaults(
        "replay_quarantine",
        run_timeout=timedelta(hours=6),
        tags=["quarantine"],
    ),
    schedule=None,
    params=PARAMS,
    doc_md=DOC,
)
def replay_quarantine() -> None:
    """Check, replay."""

    @task
    def check(params: Any = None) -> str | None:
        from ticklake import flows_asked

        return flows_asked.since(params["since"])

    @task(pool="lander", outlets=[BRONZE])
    def replay(since: Any, params: Any = None) -> list[dict[str, Any]]:
        from ticklake import flows_quarantine

        asked = {key: params[key] for key in ("dataset", "code", "source", "dry_run")}
        found = flows_quarantine.replay(**asked, since=since)
        announce(BRONZE, None if params["dry_run"] else of_replay(found))
        return found

    replay(check())


replay_quarantine()
