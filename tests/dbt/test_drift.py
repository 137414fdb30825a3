"""Speed candles against batch candles: what differs, why, and whether a run passes."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
from deltalake import DeltaTable
from typer.testing import CliRunner

from checks.drift import DriftNotBuilt, drift
from ingestion.speed.settle import store_landed
from lake.rebuild import rebuild
from lake.records import current
from lake.session import Session
from lake.speed import TABLES, newest
from tests.desk import Desk, trade
from tests.disordered_day import REAL_DATA, batches
from tests.empty_lake import begin_as_empty
from tests.speed_layer import SpeedLayer
from ticklake.commands import drift as command

TICKLAKE_MODELS = "all"

Trades = list[dict[str, Any]]
FOUND = """
select instrument_id, status, cause, is_alert, volume_diff, count_diff, correction_quantity,
    duplicate_quantity, outlier_quantity, late_quantity, lost_quantity
from gold.candle_drift where width = '1s' and venue = 'ALL' order by 1
"""
COMPARED = ("gold.candle_drift", "gold.drift_hours")


def build(desk: Desk, *more: str) -> None:
    """Build and publish drift and what it is made from, and count that as the whole graph."""
    desk.build("--select", "+drift_runs", *more)
    session = Session(desk.settings)
    with duckdb.connect(str(desk.layout.warehouse)) as conn:
        conn.execute("set TimeZone = 'UTC'")
        session.open(conn)
        session.advance(conn)


def ticklake_drift(desk: Desk, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Run the command over the desk's lake."""
    monkeypatch.setenv("LAKE_URI", str(desk.root))
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, list(arguments))


def print_of(name: str, number: int, at: str, price: Any, quantity: int, **more: Any) -> Any:
    return trade(number, at, price, quantity, instrument=name, sequence=number, **more)


def planted() -> Trades:
    """One difference of each kind, each at an instrument of its own, and one instrument without."""
    copied = print_of("DUPLICATE", 3, "14:00:02.1", 100, 10)
    mixed = print_of("MIXED", 8, "14:00:07.1", 100, 7)
    rows = [print_of("OUTLIER", 100 + n, f"13:50:{n:02}", 100, 1) for n in range(25)]
    rows += [
        print_of("EQUAL", 1, "14:00:00.1", 100, 10),
        print_of("LATE", 2, "14:00:01.1", 100, 10, venue="N"),
        copied,
        copied,
        print_of("CORRECTED", 4, "14:00:03.1", 100, 10),
        print_of("CORRECTED", 5, "14:00:03.3", 101, 12, status="CORRECT", refTradeId="T4"),
        print_of("OUTLIER", 6, "14:00:05.1", 1000, 2),
        print_of("LOST", 7, "14:00:06.1", 100, 10),
        mixed,
        mixed,
        print_of("HALF", 9, "14:00:08.1", 100, 10),
        print_of("HALF", 10, "14:00:08.2", 100, 4),
        print_of("BOTH", 15, "14:00:10.1", 100, 10),
        print_of("BOTH", 16, "14:00:10.2", 100, 4),
        print_of("CLOCK", 11, "14:10:00", 100, 1),
        print_of("LATE", 12, "14:00:01.6", 101, 5, venue="N"),
        print_of("MIXED", 13, "14:00:07.6", 100, 3),
        print_of("BOTH", 17, "14:00:10.6", 100, 3),
        print_of("OFFICIAL", 14, "14:00:09.1", 100, 50, conditions="M"),  # neither price nor volume
    ]
    return rows


def lose(speed: SpeedLayer) -> None:
    """What a broken speed layer might do to its seconds: forget a window, a print, a price."""
    kept = []
    for key, prints in speed.finished:
        if key[:2] in (("1s", "HALF"), ("1s", "BOTH")):
            kept.append((key, prints[:1]))
        elif key[:2] != ("1s", "LOST"):
            kept.append((key, prints))
    speed.finished = kept


@pytest.fixture(scope="module")
def lake(shared_desk: Desk) -> tuple[Desk, SpeedLayer]:
    """The planted differences, built; and trades that the speed layer has yet to store."""
    speed = SpeedLayer(shared_desk.layout)
    rows = planted()
    shared_desk.land("trades", rows)
    speed.take(rows)
    lose(speed)
    speed.flush(0)
    later = [print_of("EQUAL", 20, "15:10:00", 100, 1), print_of("CLOCK", 21, "16:20:00", 100, 1)]
    shared_desk.land("trades", later)
    build(shared_desk)
    speed.take(later)
    return shared_desk, speed


def test_each_difference_has_its_cause_and_its_amounts(lake: tuple[Desk, SpeedLayer]) -> None:
    found = {
        name: (*facts, *map(int, amounts))
        for name, *facts, amounts in ((*row[:4], row[4:]) for row in lake[0].query(FOUND))
    }
    # status, cause, alert; speed less batch: volume, count; corrected, copied, outliers, late, lost
    assert found == {
        "BOTH": ("DRIFT", "lost", False, -7, -2, 0, 0, 0, 3, 4),
        "CORRECTED": ("DRIFT", "correction", True, 10, 1, 10, 0, 0, 0, 0),
        "DUPLICATE": ("DRIFT", "duplicate", False, 10, 1, 0, 10, 0, 0, 0),
        "HALF": ("DRIFT", "lost", False, -4, -1, 0, 0, 0, 0, 4),
        "LATE": ("DRIFT", "late", True, -5, -1, 0, 0, 0, 5, 0),
        "LOST": ("MISSING_SPEED", "lost", True, -10, -1, 0, 0, 0, 0, 10),
        "MIXED": ("DRIFT", "duplicate", False, 4, 0, 0, 7, 0, 3, 0),
        "OFFICIAL": ("MISSING_SPEED", "late", True, 0, 0, 0, 0, 0, 0, 0),
        "OUTLIER": ("EXTRA_SPEED", "outlier", True, 2, 1, 0, 0, 2, 0, 0),
    }
    wide = lake[0].query(
        "select instrument_id, cause from gold.candle_drift where width <> '1s' and venue = 'ALL'"
    )
    names = {"BOTH": "late", "CORRECTED": "correction", "DUPLICATE": "duplicate", "LATE": "late",
             "MIXED": "duplicate", "OFFICIAL": "late", "OUTLIER": "outlier"}  # fmt: skip
    assert Counter(wide) == Counter(dict.fromkeys(names.items(), 2))
    venues = "select width, cause, volume_diff from gold.candle_drift where venue = 'N'"
    assert set(lake[0].query(venues)) == {(w, "late", Decimal(-5)) for w in ("1s", "10s", "1m")}


def test_a_run_sums_what_was_compared_and_fails_beyond_each_limit(
    lake: tuple[Desk, SpeedLayer],
) -> None:
    second, *_ = drift(lake[0].settings).runs
    # 25 seconds of OUTLIER, one each of the nine others, and the one of the outlier itself; that
    # is extra, LOST and OFFICIAL are missing, prices stray in LATE and CORRECTED
    assert (second.width, str(second.day)) == ("1s", "2025-10-02")
    assert (second.windows, second.missing, second.extra, second.price_alerts) == (35, 2, 1, 2)
    batch = 25 + 10 + 15 + 10 + 12 + 10 + 10 + 14 + 17
    assert second.batch_volume == batch
    assert second.volume_difference == 7 + 10 + 10 + 4 + 5 + 10 + 4 + 2
    assert second.volume_drift_pct == round(Decimal(52) * 100 / batch, 6)
    assert not (second.passed_volume or second.passed_windows or second.passed_prices)


def test_the_command_exits_1_when_a_run_fails_and_2_on_a_bad_call(
    lake: tuple[Desk, SpeedLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ticklake_drift(lake[0], monkeypatch, "--json", "--width", "1s", "--worst", "2")
    told, _ = json.JSONDecoder().raw_decode(said.stdout)
    assert said.exit_code == 1
    assert [(run["width"], run["passed"]) for run in told["runs"]] == [("1s", False)]
    assert {(c["cause"], c["windows"]) for c in told["causes"]} == {
        ("correction", 1), ("duplicate", 2), ("late", 2), ("lost", 3), ("outlier", 1),
    }  # fmt: skip
    assert [window["instrument_id"] for window in told["windows"]] == ["LOST", "BOTH"]
    shown = ticklake_drift(lake[0], monkeypatch)
    assert shown.exit_code == 1
    assert "beyond 0.5 %: volume" in shown.stderr.replace("0.5000", "0.5")
    assert ticklake_drift(lake[0], monkeypatch, "--width", "2s").exit_code == 2
    assert ticklake_drift(lake[0], monkeypatch, "--day", "yesterday").exit_code == 2
    other = ticklake_drift(lake[0], monkeypatch, "--day", "2025-10-03")
    assert (other.exit_code, "No windows to compare" in other.stdout) == (0, True)


def test_what_became_final_or_vanished_without_news_of_trades_is_compared_by_the_next_build(
    lake: tuple[Desk, SpeedLayer],
) -> None:
    desk, speed = lake
    missing = (
        "select width, strftime(window_start, '%H:%M:%S'), cause from gold.candle_drift "
        "where instrument_id = 'EQUAL' and venue = 'ALL' order by all"
    )
    assert desk.query(missing) == []
    speed.finished = []  # nothing of what it closed since reaches the table
    speed.flush(1)
    DeltaTable(str(desk.layout.speed / "candles")).delete(
        "instrument_id = 'EQUAL' and width = '1s'"
    )
    build(desk)
    assert desk.query(missing) == [
        ("10s", "15:10:00", "lost"), ("1m", "15:10:00", "lost"),
        ("1s", "14:00:00", "lost"), ("1s", "15:10:00", "lost"),
    ]  # fmt: skip
    kept = {name: desk.query(f"select * from {name} order by all") for name in COMPARED}
    assert all(kept.values())
    record = current(desk.layout)
    assert record is not None
    assert {t: record.read[t]["version"] for t in TABLES} == newest(desk.layout)
    build(desk, "--full-refresh")
    assert {name: desk.query(f"select * from {name} order by all") for name in COMPARED} == kept


def test_without_a_speed_layer_the_command_says_so_and_nothing_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_as_empty(desk.root, desk.target, "all")
    said = ticklake_drift(desk, monkeypatch)
    assert (said.exit_code, "no speed candles" in said.stdout) == (0, True)


def test_a_lake_that_is_built_without_drift_says_how_to_get_it(desk: Desk) -> None:
    begin_as_empty(desk.root, desk.target, "core")
    with pytest.raises(DriftNotBuilt, match="TICKLAKE_MODELS=all"):
        drift(desk.settings)


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)
def test_the_disordered_aig_day_fails_at_a_second_and_ten_and_passes_at_a_minute(
    desk: Desk,
) -> None:
    def land(rows: Trades) -> None:
        desk.land("trades", rows)
        store_landed(desk.settings)

    for rows in batches():
        land(rows)
    midnight = rows[-1]["timestamp"] // 86_400_000 * 86_400_000 + 86_400_000
    closing = {"instrumentId": "CLOCK", "tradeId": "close", "timestamp": midnight + 3_600_000}
    land([{**rows[-1], **closing}])
    build(desk)
    runs = {run.width: run for run in drift(desk.settings).runs}
    figures = {
        width: (run.windows, run.missing, run.extra, int(run.volume_difference),
                str(run.volume_drift_pct), run.passed)
        for width, run in runs.items()
    }  # fmt: skip
    assert figures == {
        "1s": (8_078, 74, 0, 281_309, "3.206084", False),
        "10s": (2_260, 1, 0, 58_074, "0.661871", False),
        "1m": (429, 0, 0, 0, "0.000000", True),
    }
    causes = desk.query(
        "select width, cause, sum(late_quantity)::bigint, sum(-count_diff)::bigint "
        "from gold.candle_drift where venue = 'ALL' group by all order by all"
    )
    assert causes == [("10s", "late", 58_074, 240), ("1s", "late", 281_309, 1_315)]
    noon = {**rows[0], "timestamp": midnight - 6 * 3_600_000, "tradeId": "late", "sequence": 10**6}
    land([{**noon, "quantity": 50_000}])
    build(desk)
    minute = drift(desk.settings, width="1m")
    assert [(run.passed, int(run.volume_difference)) for run in minute.runs] == [(False, 50_000)]
    assert [cause.cause for cause in minute.causes] == ["late"]


@pytest.mark.slow
def test_a_whole_build_pins_the_speed_tables_and_its_publication_can_be_made_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLAKE_MODELS", TICKLAKE_MODELS)
    rows = planted()
    desk.land("trades", rows)
    store_landed(desk.settings)
    first = desk.build()
    assert {t: first.pin[t]["version"] for t in TABLES} == newest(desk.layout)
    assert desk.build().number == first.number
    found = desk.query("select * from gold.candle_drift order by all")
    assert {row[6] for row in found} == {"late", "duplicate", "correction", "outlier"}
    store_landed(desk.settings, anew=True)
    assert desk.build().number == first.number + 1
    assert desk.query("select * from gold.candle_drift order by all") == found
    again = rebuild(desk.settings, first.number, tmp_path / "again")
    assert again.result.published
    lake = Desk(tmp_path / "again", desk.target, models=TICKLAKE_MODELS)
    assert lake.query("select * from gold.candle_drift order by all") == found
