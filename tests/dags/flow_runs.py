"""Runs flows one after the other through Airflow's own task runner; a program of its own.

Arguments: the folder of the DAGs, and a JSON list of [DAG id, params]. Prints one line of JSON per
run: its state, its tasks' states and return values, the asset events it made, and a digest of every
file of the lake before and after.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ASIDE = {"run", "dbt", "airflow"}  # locks, logs and what dbt parsed: not the lake


def files(root: Path) -> dict[str, int]:
    """Every file of the lake: path -> time of its last change, ns."""
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in ASIDE
    }


def events(after: int) -> list[Any]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.id > after))
        return [(event.id, event.asset.name, event.extra) for event in found]


def main(folder: str, runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag, root, seen = DagBag(folder), Path(os.environ["LAKE_URI"]), 0
    # A run in this process leaves its params with the DAG: each is told all of them.
    defaults = {name: dict(dag.params.dump()) for name, dag in bag.dags.items()}
    for name, params in runs:
        bag.dags[name].deadline = None  # Airflow 3.3 cannot try a DAG that has one
        before = files(root)
        run = bag.dags[name].test(run_conf={**defaults[name], **params})
        after, made = files(root), events(seen)
        seen = max([seen, *(number for number, *_ in made)])
        tasks = {task.task_id: task for task in run.get_task_instances()}
        told = {
            "state": run.state,
            "tasks": {key: task.state for key, task in tasks.items()},
            "returned": {key: task.xcom_pull(task_ids=key) for key, task in tasks.items()},
            "events": {asset: extra for _, asset, extra in made},
            "changed": sorted(k for k in {*before, *after} if before.get(k) != after.get(k)),
        }
        print("RESULT", json.dumps(told, default=str))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
