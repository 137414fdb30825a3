"""The log of a task whose process was killed: where it lies, and a line more in it.

Whoever opens the log of a red task should find the note, also where the task could not write it.
Airflow's files are JSON lines; where they lie elsewhere, on another machine or in a store, the
note is in the DAG processor's log, the table and the webhook only.
"""

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def path(ti: Any) -> Path:
    """Where Airflow keeps the log of a task's try, by its default pattern."""
    from airflow.sdk.configuration import conf

    base = Path(conf.get("logging", "base_log_folder"))
    folder = base / f"dag_id={ti.dag_id}" / f"run_id={ti.run_id}" / f"task_id={ti.task_id}"
    if ti.map_index is not None and ti.map_index >= 0:
        folder /= f"map_index={ti.map_index}"
    return folder / f"attempt={ti.try_number}.log"


def append(path: Path, at: datetime, text: str) -> None:
    """Add a text as a line of level error; nothing where there is no such log."""
    if not path.is_file():
        return
    line = {
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "level": "error",
        "event": f"\n{text}",
        "logger": "ticklake.failures",
    }
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        log.warning("the note is not in the task's log: %s", error)
