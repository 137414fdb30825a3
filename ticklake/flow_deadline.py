"""Since when the runs of a flow may be late; read by DAG files and, as a plugin, by Airflow."""

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class QueuedAt(BaseDeadlineReference):
    """When a run was first queued.

    Airflow's own DAGRUN_QUEUED_AT follows a run that is cleared, and fails at it: in 3.3.2 no run
    of a flow that has such a deadline can be cleared or filled again.
    """

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: "Session", dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        run = select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        return session.scalar(run)
