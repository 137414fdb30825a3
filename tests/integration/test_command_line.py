"""The command line as a person uses it: land a file, build, look, reconcile."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CSV = """tradeId,instrumentId,price,quantity,timestamp,buySellIndicator
T1,BOND_1,99.60,250000,2025-10-02T12:00:01Z,B
T2,BOND_1,99.65,100000,2025-10-02T12:00:02Z,S
T3,BOND_1,-5,100000,2025-10-02T12:00:03Z,S
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


def ticklake(lake: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without Kafka unless the test names a broker."""
    given = {"LAKE_URI": str(lake), "TICKLAKE_KAFKA_BOOTSTRAP": "", "TICKLAKE_MODELS": "core"}
    given |= environment
    return subprocess.run(
        [sys.executable, "-m", "ticklake.cli", *arguments],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def told(lake: Path, *arguments: str) -> Any:
    done = ticklake(lake, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_file_lands_once_and_its_bad_line_is_told_with_its_code(lake: Path) -> None:
    file = lake / "trades.csv"
    file.write_text(CSV)
    (landed,) = told(lake, "ingest", str(file), "--feed", "generic_trades")
    assert (landed["ok"], landed["rejected"]) == (2, 1)
    assert landed["by_code"] == {"PRICE_NOT_POSITIVE": 1}
    (again,) = told(lake, "ingest", str(file), "--feed", "generic_trades")
    assert (again["ok"], again["rejected"]) == (0, 0)


def test_before_a_build_status_says_what_waits_and_sql_says_what_to_do(lake: Path) -> None:
    (trades,) = [d for d in told(lake, "status")["lake"]["datasets"] if d["dataset"] == "trades"]
    assert (trades["ok"], trades["rejected"], trades["waiting"]) == (2, 1, 3)
    refused = ticklake(lake, "sql", "select 1")
    assert refused.returncode == 1
    assert "nothing is published" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_build_publishes_and_a_second_build_does_not(lake: Path) -> None:
    assert told(lake, "build")["publication"] == 1
    second = told(lake, "build")
    assert (second["publication"], second["published"]) == (1, False)


def test_sql_reads_gold_and_quarantine(lake: Path) -> None:
    rows = told(
        lake,
        "sql",
        "select volume, vwap from gold.candles_1h where session_scope = 'all' and venue = 'ALL'",
    )
    assert rows == [{"volume": "350000.00000000", "vwap": pytest.approx(99.6142857142857)}]
    (raw,) = told(lake, "sql", "select raw from quarantine.trades")
    assert raw["raw"] == "T3,BOND_1,-5,100000,2025-10-02T12:00:03Z,S"


def test_every_account_closes(lake: Path) -> None:
    accounts = told(lake, "reconcile")
    assert {a["scope"]: a["left"] for a in accounts if a["name"] == "consumed = ok + rejected"} == {
        "trades": "3"
    }
    assert all(float(a["difference"]) == 0 for a in accounts)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TICKLAKE_BATCH_ROWS", "many"),
        ("LAKE_URI", "s3://bucket"),
        ("TICKLAKE_BUILD_FROM", "2025-10-02"),
    ],
)
def test_a_wrong_setting_stops_the_command_before_it_touches_data(
    lake: Path, variable: str, value: str
) -> None:
    done = ticklake(lake, "ingest", **{variable: value})
    assert done.returncode == 2
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_feed_is_refused_by_name(lake: Path) -> None:
    done = ticklake(lake, "ingest", str(lake / "trades.csv"), "--feed", "nasdaq")
    assert done.returncode == 1
    assert "nasdaq" in done.stderr
    assert "generic_trades" in done.stderr


def test_the_doctor_finds_a_missing_broker_and_says_how_to_mend_it(lake: Path) -> None:
    well = ticklake(lake, "doctor")
    assert well.returncode == 0, well.stdout
    ill = ticklake(lake, "doctor", TICKLAKE_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert ill.returncode == 1
    assert "ticklake broker" in ill.stdout
