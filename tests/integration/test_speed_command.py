"""`ticklake speed replay` and `ticklake candles`, as a person types them."""

import json
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from ingestion.speed import active
from ingestion.speed.engine import State
from ingestion.speed.replay import replay
from ingestion.speed.settled import Settled
from tests.desk import Desk, trade
from tests.speed_rows import a_print, landed
from ticklake.cli import app


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    monkeypatch.delenv("LAKE_LOCAL", raising=False)
    return Desk(tmp_path / "lake", tmp_path / "target")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def stored(desk: Desk) -> pl.DataFrame:
    files = DeltaTable(str(desk.layout.speed / "candles")).file_uris()
    return pl.read_parquet(files, hive_partitioning=True)


def test_what_landed_without_a_resident_process_gets_its_candles_once(desk: Desk) -> None:
    desk.land("trades", [trade(n, f"12:00:{n:02}") for n in range(10)])
    told = json.loads(run("speed", "replay", "--json"))
    # windows of 1 s and 10 s close but for the last of each; each is there at the end of input
    assert told == {
        "trades": {"rows": 10, "candles": 10 + 1 + 1},
        "orders": {"rows": 0, "candles": 0},
    }
    assert json.loads(run("speed", "replay", "--json"))["trades"] == {"rows": 0, "candles": 0}
    desk.land("trades", [trade(10, "12:01:30")])
    assert json.loads(run("speed", "replay", "--json"))["trades"]["rows"] == 1
    final = stored(desk).filter("is_final")
    assert final.select("width", "window_start", "venue").is_unique().all()
    expected = replay(desk.settings, "trades").filter("is_final")
    assert final.height == expected.height == 10 + 1 + 1
    anew = json.loads(run("speed", "replay", "--anew", "--json"))["trades"]
    assert anew == {"rows": 11, "candles": 12 + 3}
    assert stored(desk).height == 15


def test_candles_shows_what_a_resident_process_is_making(desk: Desk) -> None:
    assert "No candle is being made" in run("candles")
    state = State("trades")
    state.advance(landed([(1, [a_print(0, 0.1, "99.5"), a_print(1, 0.2, "101")])]))
    opened = {width: state.open[width] for width in ("1s", "10s", "1m")}
    active.show(desk.layout, Settled.of(state), opened)
    found = json.loads(run("candles", "AAPL", "--width", "1s", "--json"))
    assert [(row["open"], row["close"], row["vwap"], row["trade_count"]) for row in found] == [
        ("99.500000000", "101.000000000", "100.250000000", 2)
    ]
    assert json.loads(run("candles", "MSFT", "--json")) == []
    assert "AAPL" in run("candles")
