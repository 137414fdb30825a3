"""The `day` flow, run through Airflow's own task runner on a lake with an inbox."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lake import lakehouse
from lake.layout import layout
from lake.settings import load_settings

CSV = """tradeId,instrumentId,price,quantity,timestamp,buySellIndicator
T1,BOND_1,99.60,250000,{day}T12:00:01Z,B
T2,BOND_1,-1,250000,{day}T12:00:02Z,B
"""
RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["day"]
run = dag.test(run_conf={"day": sys.argv[2]})
print("RESULT", json.dumps({t.task_id: t.state for t in run.get_task_instances()}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a lake with two days in its inbox and an Airflow database of its own."""
    root = tmp_path_factory.mktemp("desk")
    for day in ("2025-10-02", "2025-10-03"):
        folder = root / "lake" / "inbox" / "generic_trades" / day
        folder.mkdir(parents=True)
        (folder / "trades.csv").write_text(CSV.format(day=day))
    environment = {
        **os.environ,
        "LAKE_URI": str(root / "lake"),
        "TICKLAKE_KAFKA_BOOTSTRAP": "",
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).resolve().parents[2] / "dags"),
    }
    airflow = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(airflow, env=environment, check=True, capture_output=True)
    return environment


def run_day(home: dict[str, str], dag_folder: Path, day: str) -> dict[str, str]:
    """Run the flow for one day; returns task -> state."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(dag_folder), day],
        env=home,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    states: dict[str, str] = json.loads(lines[-1].removeprefix("RESULT "))
    return states


def test_the_flow_lands_builds_and_judges_the_day_it_is_asked_for_and_no_other(
    home: dict[str, str], dag_folder: Path
) -> None:
    states = run_day(home, dag_folder, "2025-10-02")
    assert states == {"land": "success", "build": "success", "reconcile": "success"}
    with lakehouse.connect(layout(load_settings({"LAKE_URI": home["LAKE_URI"]}))) as conn:
        traded = conn.execute("select session_date::varchar, trade_id from silver.trades")
        assert traded.fetchall() == [("2025-10-02", "T1")]
        assert conn.execute("select count(*) from quarantine.trades").fetchall() == [(1,)]


def test_the_flow_run_again_for_the_same_day_changes_nothing(
    home: dict[str, str], dag_folder: Path
) -> None:
    shown = lakehouse.shows(layout(load_settings({"LAKE_URI": home["LAKE_URI"]})))
    states = run_day(home, dag_folder, "2025-10-02")
    assert set(states.values()) == {"success"}
    assert lakehouse.shows(layout(load_settings({"LAKE_URI": home["LAKE_URI"]}))) == shown
