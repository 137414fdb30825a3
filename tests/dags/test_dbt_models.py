"""The application behind the tab "dbt models"."""

from fastapi.testclient import TestClient

from ticklake.services.airflow_plugins.dbt_models import DbtModelsPlugin
from ticklake.services.dbt_models.app import PREFIX, app


def test_every_page_asks_for_the_log_in() -> None:
    with TestClient(app) as client:
        for path in ("/builds?dag_id=live&run_id=x", "/builds?dag_id=~&run_id=x", "/builds"):
            for headers in ({}, {"Authorization": "Basic ZGVzazpkZXNr"}):
                assert client.get(path, headers=headers).status_code == 401, path
        for path in ("/", "/docs", "/redoc", "/openapi.json", "/builds/../../etc/passwd"):
            assert client.get(path).status_code == 404, path


def test_the_tabs_lead_to_the_application() -> None:
    views = DbtModelsPlugin.external_views
    assert {view["destination"] for view in views} == {"dag_run", "task_instance"}
    assert len({view["url_route"] for view in views}) == len(views)  # Airflow drops a second one
    for view in views:
        assert view["href"].startswith(f"{PREFIX}/builds?dag_id={{DAG_ID}}&run_id={{RUN_ID}}")
