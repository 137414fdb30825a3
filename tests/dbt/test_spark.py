"""The core models built on Spark have the rows that DuckDB builds, column by column.

Needs Java and an environment with `requirements-spark.txt` (TICKLAKE_SPARK_PYTHON, or one made here
with uv if a package registry answers); skipped, with the reason, where there is none.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lake.settings import PROJECT
from lake.spark import lay_out
from tests.desk import Desk, trade

pytestmark = pytest.mark.slow
CORE = {
    "silver": ["trade_messages", "trade_chains", "trades_history", "official_closes",
               "trade_outliers", "quotes_history", "security_restatements",
               "security_versions", "sessions"],
    "gold": ["candle_windows_1s", "candle_windows_10s", "candle_windows_1m", "candles_1h",
             "candles_1d"],
}  # fmt: skip
VIEW = "securities_history"
SELECT = [f"+{name}" for names in [*CORE.values(), [VIEW]] for name in names]


def quote(number: int, at: str, **more: Any) -> dict[str, Any]:
    return {"instrumentId": "BOND_1", "dealerId": f"D{number % 3}", "bidPrice": "99.50",
            "bidSize": 5, "offerPrice": f"99.{75 + number % 5}", "offerSize": 7, "sequence": number,
            "timestamp": f"2025-10-02T{at}Z", **more}  # fmt: skip


def security(as_of: str, multiplier: str, name: str) -> dict[str, Any]:
    return {"instrumentId": "BOND_1", "securityName": name, "cusip": None, "isin": None,
            "marketSegment": "HG", "issuer": "First", "asOf": as_of,
            "priceMultiplier": multiplier}  # fmt: skip


def land(desk: Desk) -> None:
    """Two sessions with ties, copies, corrections, odd conditions, a fat finger, a restatement."""
    rows = [
        trade(n, f"{13 + n % 7}:{n % 60:02}:{n * 7 % 60:02}.{n * 37 % 1000:03}",
              f"{100 + n % 9}.{n % 10}", n % 13 + 1, instrument=("BOND_1", "AAPL")[n % 2],
              venue=("N", "P", None)[n % 3], sequence=n,
              conditions=(None, "@", "W", "T", "M", "O")[n % 6],
              side=("B", "S", None)[n % 3])
        for n in range(1, 301)
    ]  # fmt: skip
    rows += rows[10:20]
    rows += [trade(n, "14:30:00.123456789", 100, n, tradeId=str(n), venue="N") for n in (10, 9, 1)]
    rows += [
        trade(900, "14:00:00", 1000, 1, instrument="AAPL", venue="N"),
        trade(901, "14:10:00", 101, 5, instrument="AAPL", refTradeId="T11", status="CORRECT",
              venue="P"),
        trade(902, "14:11:00", 101, 5, refTradeId="T12", status="CANCEL", venue="N"),
        trade(903, "14:12:00", 101, 5, refTradeId="T903X", status="CANCEL", venue="N"),
        trade(904, "2025-11-02T05:30:00Z", 100, 1), trade(905, "2025-11-03T05:30:00Z", 101, 1),
    ]  # fmt: skip
    desk.land("trades", rows)
    anonymous = [trade(0, "15:00:00", 100, 1, tradeId=None) for _ in range(3)]
    for delivery in ("a", "b"):
        desk.land("trades", anonymous, delivery_unit=delivery, unit=f"file:{delivery}")
    desk.land(
        "quotes", [quote(n, f"14:{n % 60:02}:00") for n in range(40)] + [quote(3, "14:03:00")]
    )
    renamed = security("2025-10-02T15:00:00Z", "0.02", "Bond, renamed")
    desk.land("securities", [security("2025-09-01T00:00:00Z", "0.01", "Bond"), renamed])
    again = security("2025-10-03T15:00:00Z", "0.02", "Bond, renamed")  # says nothing new
    corrected = security("2025-09-01T00:00:00Z", "0.01", "Bond 1")  # what was said of that time
    desk.land("securities", [again, corrected])


def spark_python(folder: Path) -> str:
    """An interpreter with dbt-spark and pyspark, or a skip."""
    if not shutil.which("java"):
        pytest.skip("no Java here: Spark needs version 17")
    if given := os.environ.get("TICKLAKE_SPARK_PYTHON"):
        return given
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not uv:
        pytest.skip("uv is not here to make an environment with requirements-spark.txt")
    python = folder / "bin" / "python"
    wanted = str(PROJECT / "requirements-spark.txt")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    made = subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), "-r", wanted],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if made.returncode:
        pytest.skip(f"requirements-spark.txt cannot be installed: {made.stderr.strip()[-300:]}")
    return str(python)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, shared_desk: Desk) -> tuple[Desk, Path]:
    """The lake built by DuckDB, and the folder of what Spark built of the same bronze."""
    python = spark_python(tmp_path_factory.mktemp("venv") / "spark")
    folder = tmp_path_factory.mktemp("spark")
    land(shared_desk)
    shared_desk.build("--select", *SELECT)
    lay_out(shared_desk.layout, folder)
    environment = {**os.environ, "LAKE_SPARK": str(folder), "SPARK_LOCAL_IP": "127.0.0.1",
                   "DBT_SEND_ANONYMOUS_USAGE_STATS": "0"}  # fmt: skip
    done = subprocess.run(
        [str(Path(python).parent / "dbt"), "build", "--target", "spark", "--exclude-resource-type",
         "test", "--target-path", str(folder / "target"), "--log-path", str(folder / "target"),
         "--select", *SELECT],
        cwd=PROJECT / "dbt", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return shared_desk, folder / "warehouse"


@pytest.mark.parametrize("table", [f"{s}.{name}" for s, names in CORE.items() for name in names])
def test_spark_and_duckdb_have_the_same_rows(built: tuple[Desk, Path], table: str) -> None:
    desk, warehouse = built
    schema, name = table.split(".")
    with duckdb.connect(str(desk.layout.warehouse), read_only=True) as conn:
        conn.execute("set TimeZone = 'UTC'")
        columns = [c for c, *_ in conn.execute(f"describe {table}").fetchall()]
        spark = f"read_parquet('{warehouse}/{schema}.db/{name}/*.parquet')"
        there = [c for c, *_ in conn.execute(f"describe select * from {spark}").fetchall()]
        assert there == columns
        listed = ", ".join(f'"{c}"' for c in columns)
        ours = conn.execute(f"select {listed} from {table} order by all").fetchall()
        theirs = conn.execute(f"select {listed} from {spark} order by all").fetchall()
    assert ours, "a table without rows proves nothing"
    assert theirs == ours
