"""`ticklake export`: a published table as Hive-partitioned Parquet that DuckDB prunes."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from lake.export import ExportError, export
from tests.desk import Desk, trade
from ticklake.cli import app

DAYS = range(1, 6)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Five days with one trade each at noon and one at 23:30 New York, the next day in UTC."""
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder / "lake", folder / "target")
    rows = [trade(10 + d, f"2025-09-0{d}T16:00:00Z", 100 + d, 1, instrument="A") for d in DAYS]
    rows += [trade(20 + d, f"2025-09-0{d + 1}T03:30:00Z", 100 + d, 2, instrument="A") for d in DAYS]
    desk.land("trades", rows)
    desk.build("--select", "+candles_1m")
    return desk


@pytest.fixture(scope="module")
def exported(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "trades"
    export(desk.layout, "silver.trades", folder)
    return folder


def opened(query: str) -> int:
    """How many files DuckDB reads for a query, as its own analysis says."""

    def found(node: Any) -> list[str]:
        own = node.get("extra_info", {}).get("Total Files Read")
        inner = node.get("children", []) + node.get("operator", [])
        return ([own] if own else []) + [text for child in inner for text in found(child)]

    with duckdb.connect() as conn:
        ((_, plan),) = conn.execute(f"explain (analyze, format json) {query}").fetchall()
    (files,) = found(json.loads(plan))
    return int(files)


def read(folder: Path, where: str = "true") -> str:
    return f"select * from read_parquet('{folder}/**/*.parquet') where {where}"


def test_rows_lie_under_their_session_date_and_are_those_of_the_table(
    desk: Desk, exported: Path
) -> None:
    folders = sorted(path.relative_to(exported).as_posix() for path in exported.rglob("day=*"))
    assert folders == [f"year=2025/month=9/day={d}" for d in DAYS]
    kept = "trade_key, event_ts_ns, price, quantity, session_date, event_hour"
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        written = conn.sql(f"select {kept} from ({read(exported)}) order by all").fetchall()
        wrong = conn.sql(read(exported, "make_date(year, month, day) <> session_date")).fetchall()
    assert written == desk.query(f"select {kept} from silver.trades order by all")
    assert (len(written), wrong) == (10, [])


def test_duckdb_opens_the_files_of_the_days_asked_for_and_no_others(exported: Path) -> None:
    assert opened(read(exported, "year = 2025 and month = 9 and day = 3")) == 1
    assert opened(read(exported, "day between 2 and 3")) == 2
    assert opened(read(exported, "make_date(year, month, day) >= date '2025-09-04'")) == 2
    assert opened(read(exported, "price > 100")) == 5


def test_files_are_zstd_and_the_manifest_says_what_they_are(desk: Desk, exported: Path) -> None:
    with duckdb.connect() as conn:
        codecs = conn.sql(
            f"select distinct compression from parquet_metadata('{exported}/**/*.parquet')"
        ).fetchall()
    assert codecs == [("ZSTD",)]
    facts = json.loads((exported / "_export.json").read_text())
    ((number,),) = desk.query("select number from audit.publication")
    assert (facts["table"], facts["publication"]) == ("silver.trades", number)
    assert (facts["rows"], facts["days"], facts["day_of"]) == (10, 5, "session_date")


def test_a_range_and_another_column_can_be_asked_for(desk: Desk, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["export", "candles_1m", "--to", str(tmp_path / "c"), "--by", "window_start",
         "--from", "2025-09-03", "--to-day", "2025-09-05", "--json"],
        env={"LAKE_URI": str(desk.root)},
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (
        json.loads(done.stdout)["rows"] == 6
    )  # each noon in both session scopes, each night in one
    days = sorted(path.name for path in (tmp_path / "c").rglob("day=*"))
    assert days == ["day=3", "day=4"]


def test_what_cannot_be_exported_is_refused_with_what_to_do(desk: Desk, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(
        ExportError, match=r"no published table gold.nothing. In gold are .*candles_10s"
    ):
        export(desk.layout, "nothing", tmp_path / "new")
    with pytest.raises(ExportError, match="full is not empty"):
        export(desk.layout, "candles_1m", full)
    with pytest.raises(ExportError, match="called price; it has"):
        export(desk.layout, "candles_1m", tmp_path / "new", by="price")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_an_export_that_fails_leaves_nothing(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("lake.export._expect", fail)
    with pytest.raises(OSError, match="full"):
        export(desk.layout, "candles_1m", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
