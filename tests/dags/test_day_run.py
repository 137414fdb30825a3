"""Flows run through Airflow's own task runner on a lake with an inbox of four days."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lake import lakehouse
from lake.layout import layout
from lake.records import current
from lake.settings import load_settings
from tests.empty_lake import begin_as_empty

DAYS = ["2025-10-01", "2025-10-02", "2025-10-03", "2025-10-04"]
CSV = """tradeId,instrumentId,price,quantity,timestamp,buySellIndicator
T1,BOND_1,99.60,250000,{day}T12:00:01Z,B
T2,BOND_1,-1,250000,{day}T12:00:02Z,B
T3,BOND_1,99.70,250000,{day}T15:00:00Z,S
"""
RANGE = {"from": DAYS[1], "to": DAYS[2]}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("day", {**RANGE, "dry_run": True}),
    ("day", RANGE),
    ("day", RANGE),
    ("day", {"from": DAYS[2], "to": DAYS[1]}),
    ("live", {"dry_run": True}),
    ("reconcile", {"day": DAYS[1], "tables": ["silver.trades"]}),
    ("reconcile", {"tables": ["gold.candles_1d", "gold.depth"]}),
]
TOUCHED = [f"{day}T{hour}" for day in DAYS[1:3] for hour in ("12", "15")]
LANDED = {"rows": 4, "rejected": 2, "hours": 4}
OF_TRADES = {"trades": {"rows": 4, "rejected": 2, "hours": TOUCHED}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty lake that was built once, with files of four days in its inbox."""
    root = tmp_path_factory.mktemp("desk")
    begin_as_empty(root / "lake", root / "lake" / "dbt" / "target", "core")
    for day in DAYS:
        folder = root / "lake" / "inbox" / "generic_trades" / day
        folder.mkdir(parents=True)
        (folder / "trades.csv").write_text(CSV.format(day=day))
    return root / "lake"


@pytest.fixture(scope="module")
def runs(lake: Path, dag_folder: Path) -> list[dict[str, Any]]:
    """What became of each run of ASKED, in its order."""
    environment = {
        **os.environ,
        "LAKE_URI": str(lake),
        "TICKLAKE_MODELS": "core",
        "TICKLAKE_KAFKA_BOOTSTRAP": "",
        "AIRFLOW_HOME": str(lake.parent / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_folder),
    }
    airflow = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(airflow, env=environment, check=True, capture_output=True)
    program = str(Path(__file__).with_name("flow_runs.py"))
    done = subprocess.run(
        [sys.executable, program, str(dag_folder), json.dumps(ASKED)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == len(ASKED), done.stdout[-6000:] + done.stderr[-3000:]
    return [json.loads(line.removeprefix("RESULT ")) for line in lines]


def test_a_dry_run_says_what_waits_and_changes_no_file_of_the_lake(
    runs: list[dict[str, Any]], lake: Path
) -> None:
    tried = runs[0]
    assert (tried["state"], tried["changed"], tried["events"]) == ("success", [], {})
    inbox = lake / "inbox" / "generic_trades"
    assert tried["returned"]["land"]["landed"] == [
        {"dataset": "trades", "where": str(inbox / day / "trades.csv"), "waiting": 3, "note": ""}
        for day in DAYS[1:3]
    ]
    assert tried["returned"]["build"]["published"] is False
    assert tried["returned"]["build"]["hours"] == {}


def test_a_range_lands_and_builds_exactly_its_days(runs: list[dict[str, Any]], lake: Path) -> None:
    assert runs[1]["tasks"] == dict.fromkeys(["check", "land", "build", "reconcile"], "success")
    with lakehouse.connect(layout(load_settings({"LAKE_URI": str(lake)}))) as conn:
        traded = conn.execute(
            "select session_date::varchar, trade_id from silver.trades order by all"
        )
        assert traded.fetchall() == [(day, t) for day in DAYS[1:3] for t in ("T1", "T3")]
        assert conn.execute("select count(*) from quarantine.trades").fetchall() == [(2,)]


def test_the_assets_say_what_landed_what_was_published_and_which_days_are_closed(
    runs: list[dict[str, Any]], lake: Path
) -> None:
    events = runs[1]["events"]
    record = current(layout(load_settings({"LAKE_URI": str(lake)})))
    assert record is not None
    assert events["bronze"] == {**LANDED, "datasets": OF_TRADES}
    assert events["gold"] == {
        "publication": record.number,
        "build_id": record.build_id,
        "days": "2025-10-02 to 2025-10-03",
        **LANDED,
        "datasets": OF_TRADES,
    }
    accounts = runs[1]["returned"]["reconcile"]["accounts"]
    assert accounts > 0
    assert events["closed_days"] == {
        "from": DAYS[1],
        "to": DAYS[2],
        "accounts": accounts,
        **LANDED,
        "datasets": OF_TRADES,
    }


def test_the_same_range_again_publishes_nothing_and_announces_only_that_it_is_closed(
    runs: list[dict[str, Any]],
) -> None:
    again = runs[2]
    assert again["state"] == "success"
    assert again["returned"]["build"]["published"] is False
    assert set(again["events"]) == {"closed_days"}
    assert again["events"]["closed_days"]["rows"] == 0


def test_a_range_that_ends_before_it_begins_is_red_before_anything_runs(
    runs: list[dict[str, Any]],
) -> None:
    refused = runs[3]
    assert (refused["state"], refused["events"]) == ("failed", {})
    assert {path.partition("/failures/")[0] for path in refused["changed"]} == {"ledger"}  # a note
    assert refused["tasks"] == {
        "check": "failed",
        **dict.fromkeys(["land", "build", "reconcile"], "upstream_failed"),
    }


def test_a_dry_run_of_live_sees_the_days_that_were_not_asked_for(
    runs: list[dict[str, Any]], lake: Path
) -> None:
    tried = runs[4]
    assert (tried["state"], tried["changed"], tried["events"]) == ("success", [], {})
    inbox = lake / "inbox" / "generic_trades"
    assert [one["where"] for one in tried["returned"]["land"]] == [
        str(inbox / day / "trades.csv") for day in (DAYS[0], DAYS[3])
    ]


def test_reconcile_judges_in_tasks_of_their_own(runs: list[dict[str, Any]]) -> None:
    judged = runs[5]
    names = ["check", "accounts", "drift", "expectations", "condition", "profile"]
    assert judged["tasks"] == dict.fromkeys(names, "success")
    assert judged["returned"]["accounts"]["open"] == 0
    assert judged["returned"]["expectations"]["tables"] == 1
    assert judged["returned"]["expectations"]["docs"].endswith("index.html")


def test_a_table_that_is_not_published_is_refused_before_anything_is_judged(
    runs: list[dict[str, Any]],
) -> None:
    refused = runs[6]
    assert refused["state"] == "failed"
    assert refused["tasks"].pop("check") == "failed"
    assert set(refused["tasks"].values()) == {"upstream_failed"}
