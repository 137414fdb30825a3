"""Airflow reads its home when it is first imported, so a temporary one is set before that."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"

if "airflow" not in sys.modules:
    _home = tempfile.mkdtemp(prefix="ticklake-airflow-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = _home
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# Read whenever it is asked for: a worker may have come by Airflow in another test.
PLUGINS = DAGS.parent / "ticklake" / "services" / "airflow_plugins"
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(PLUGINS)


@pytest.fixture(scope="session")
def dag_folder() -> Path:
    """The project's DAG folder, whatever the working directory is."""
    return DAGS


@pytest.fixture(scope="session")
def bag(dag_folder: Path) -> "DagBag":
    """What Airflow reads from the folder."""
    from airflow.dag_processing.dagbag import DagBag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKLAKE_POSTGRES", "postgresql://nobody:none@nowhere/none")  # all flows on
        return DagBag(dag_folder)


@pytest.fixture(scope="session")
def scheduled(bag: "DagBag") -> dict[str, Any]:
    """DAG id -> the DAG as the scheduler sees it: after a round trip through its stored form."""
    from airflow.serialization.serialized_objects import DagSerialization

    return {
        name: DagSerialization.from_dict(DagSerialization.to_dict(dag))
        for name, dag in bag.dags.items()
    }
