"""`ticklake quarantine` and the flow of that name, as a person uses them, before any build."""

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.desk import Desk, trade
from tests.growing import WITH_DESK, under
from ticklake.cli import app
from ticklake.commands.quarantine import safely

UNIT = "kafka:test/market.trades.v1/0"
ODD = b'{"tradeId":"[red]\x1b[31m","bell":"\x07"}'
NOT_TEXT = b"\xff\xfe\x00"
RECORDS = [trade(1, "12:00:00"), ODD, NOT_TEXT, {**trade(2, "12:00:01"), "price": -1}]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    root = tmp_path_factory.mktemp("lake")
    desk = Desk(root, root)
    desk.land("trades", RECORDS, unit=UNIT, source="market.trades.v1")
    desk.land("quotes", [b"no json"], unit="kafka:test/inventory-rows/0", source="inventory-rows")
    return desk


def ticklake(desk: Desk, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LAKE_URI": str(desk.root), "TICKLAKE_KAFKA_BOOTSTRAP": ""}
    return subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "quarantine", *arguments],
        env=environment,
        capture_output=True,
        check=False,
    )


def within(desk: Desk, *arguments: str) -> Result:
    """The same in this process, which is spared the start of another."""
    environment = {"LAKE_URI": str(desk.root), "TICKLAKE_KAFKA_BOOTSTRAP": ""}
    done = CliRunner().invoke(app, ["quarantine", *arguments], env=environment)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


def told(desk: Desk, *arguments: str) -> Any:
    return json.loads(within(desk, *arguments).stdout)


def test_list_counts_by_dataset_code_and_source(desk: Desk) -> None:
    found = told(desk, "list", "--json")
    counts = [(g["dataset"], g["code"], g["source"], g["count"], g["open"], g["replayed"])
              for g in found]  # fmt: skip
    assert counts == [
        ("quotes", "PARSE_ERROR", "inventory-rows", 1, 1, 0),
        ("trades", "PARSE_ERROR", "market.trades.v1", 2, 2, 0),
        ("trades", "PRICE_NOT_POSITIVE", "market.trades.v1", 1, 1, 0),
    ]
    assert all(g["first"] == g["last"] and g["first"].endswith("+00:00") for g in found)


def test_show_prints_bytes_that_no_terminal_obeys(desk: Desk) -> None:
    shown = within(desk, "show", "--dataset", "trades", "--code", "PARSE_ERROR").stdout_bytes
    assert not {b"\x1b", b"\x07", b"\xff"} & {bytes([byte]) for byte in shown}
    assert b"[red]" in shown
    assert rb"\xff\xfe" in shown
    assert safely(b"a\nb\x1b[2J") == r"a\nb\x1b[2J"
    assert safely(b"x" * 400, 5) == "xxxxx... (400 bytes)"


def test_an_export_gives_the_bytes_back_as_they_were(desk: Desk) -> None:
    file = desk.root / "rejected.jsonl"
    assert within(desk, "export", str(file), "-d", "trades").stderr.split()[0] == "3"
    lines = sorted((json.loads(line) for line in file.read_text().splitlines()),
                   key=lambda line: line["position"])  # fmt: skip
    raw = [base64.b64decode(line["raw_base64"]) if "raw_base64" in line else line["raw"].encode()
           for line in lines]  # fmt: skip
    assert raw == [ODD, NOT_TEXT, json.dumps(RECORDS[3]).encode()]
    assert [(x["unit"], x["position"], x["state"]) for x in lines] == [(UNIT, 1, "open"),
        (UNIT, 2, "open"), (UNIT, 3, "open")]  # fmt: skip


def test_replay_says_why_the_others_stay_and_a_wrong_code_is_named(desk: Desk) -> None:
    (found,) = told(desk, "replay", "-d", "trades", "--dry-run", "--json")
    assert (found["examined"], found["passed"], found["batches"]) == (3, 0, [])
    assert found["still_rejected"] == {"PARSE_ERROR": 2, "PRICE_NOT_POSITIVE": 1}
    refused = ticklake(desk, "replay", "--code", "WRONG")
    assert refused.returncode == 1
    assert b"SCHEMA_TYPE" in refused.stderr
    assert b"Traceback" not in refused.stderr


def test_the_flow_replays_what_its_form_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from ticklake import flows_quarantine

    desk = Desk(tmp_path, tmp_path)
    desk.land("trades", [{**trade(1, "12:00:00"), "desk": "D"}, b"x"], unit=UNIT, source="a")
    monkeypatch.setenv("LAKE_URI", str(tmp_path))
    later = datetime.now(UTC).replace(year=2100).isoformat()
    with under(WITH_DESK):
        assert flows_quarantine.replay(since=later) == []
        assert flows_quarantine.replay("trades", "SCHEMA_TYPE", "b") == []
        (would,) = flows_quarantine.replay("trades", "all", dry_run=True)
        (done,) = flows_quarantine.replay("trades", "all")
        (again,) = flows_quarantine.replay()
    assert (would["passed"], would["batches"]) == (1, [])
    assert (done["examined"], done["passed"], done["hours"]) == (2, 1, ["2025-10-02T12"])
    assert (again["examined"], again["passed"]) == (1, 0)
    assert again["still_rejected"] == {"PARSE_ERROR": 1}
    assert json.loads(json.dumps(done)) == done
    with pytest.raises(AirflowFailException, match=r"since|isoformat"):
        flows_quarantine.replay(since="yesterday")
