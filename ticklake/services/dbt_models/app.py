"""What the page is served by: a small application inside Airflow's api-server.

Airflow guards its own routes only, so this one asks for the log-in itself: whoever may read the
DAG's task instances may read what its builds did.
"""

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse

from lake.build_log import build_logs
from lake.settings import load_settings
from ticklake.services.dbt_models.page import page

PREFIX = "/dbt-models"

# Nothing but the page's own style: a message out of a build can never run as a script.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

app = FastAPI(title="dbt models", docs_url=None, redoc_url=None, openapi_url=None)

Id = Annotated[str, Query(min_length=1, max_length=250)]


@app.get(
    "/builds",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))],
)
def builds(
    dag_id: Id, run_id: Id, task_id: Annotated[str, Query(max_length=250)] = ""
) -> HTMLResponse:
    """The builds of a run, or of one task of it, as a page that follows those that run."""
    logs = build_logs(load_settings(), dag_id, run_id, task_id)
    return HTMLResponse(page(logs), headers=HEADERS)
