"""An Airflow plugin: lets Airflow read since when a run may be late."""

from airflow.plugins_manager import AirflowPlugin

from ticklake.flow_deadline import QueuedAt


class DeadlinesPlugin(AirflowPlugin):
    """Registers what deadlines of our flows refer to."""

    name = "deadlines"
    deadline_references = [QueuedAt]  # noqa: RUF012 (Airflow declares them so)
