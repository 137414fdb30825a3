"""An Airflow plugin: the tab "dbt models" beside a run and its tasks."""

from airflow.plugins_manager import AirflowPlugin

from ticklake.services.dbt_models.app import PREFIX, app

_IDS = "dag_id={DAG_ID}&run_id={RUN_ID}"


class DbtModelsPlugin(AirflowPlugin):
    """Serves the page, and shows it as a tab of the run and of the task."""

    name = "dbt_models"
    fastapi_apps = [  # noqa: RUF012 (Airflow declares them so)
        {"app": app, "url_prefix": PREFIX, "name": "dbt models"}
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "dbt models",
            "href": f"{PREFIX}/builds?{_IDS}",
            "destination": "dag_run",
            "url_route": "dbt-models-of-run",
        },
        {
            "name": "dbt models",
            "href": f"{PREFIX}/builds?{_IDS}&task_id={{TASK_ID}}",
            "destination": "task_instance",
            "url_route": "dbt-models",
        },
    ]
