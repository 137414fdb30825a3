"""A contract is extended in the middle of a stream: real commands, a real broker, a real project.

The producer is newer than the consumer. Its messages are quarantined, the consumer lives, the
contract is extended as a person does it, in its file, and what waited is replayed and built.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lake.settings import load_settings
from tests import bronze_rows
from tests.desk import trade
from tests.embedded_broker import Broker, Sent

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("contracts", "lake", "ingestion", "checks", "ticklake", "dbt")
TOPIC = "market.trades.v1"
SESSION = '    session_id: pl.String = field("sessionId", SESSION)\n'
DESK = '    desk: pl.String = field("desk", "the desk that dealt")\n'
CONDITIONS = '    conditions: pl.String = field("conditions", '
CODES = """    condition_codes: TEXTS = field("conditions", "codes of the sale conditions")
    conditions: pl.String = field("conditionsText", """


def extended(folder: Path) -> Path:
    """The project with a contract of trades that knows desks, does without a side, and takes
    conditions as a list, in a column of their own."""
    for room in ROOMS:
        ignored = shutil.ignore_patterns("target", "logs", "__pycache__")
        shutil.copytree(REPOSITORY / room, folder / room, ignore=ignored)
    file = folder / "contracts" / "trades.py"
    text = file.read_text()
    side = 'field("buySellIndicator", "B or S, the initiator\'s side", required=True)'
    for old, new in (
        (SESSION, SESSION + DESK),
        (side, side.replace(", required=True", "")),
        (CONDITIONS, CODES),
        ("    SESSION,\n", "    SESSION,\n    TEXTS,\n"),
        ("version=2", "version=3"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)
    return folder


class House:
    """A lake, its broker, and the project that works on it."""

    def __init__(self, project: Path, lake: Path, broker: Broker) -> None:
        self.project = project
        self.lake = lake
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(project),
            "LAKE_URI": str(lake),
            "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
            "TICKLAKE_BATCH_SECONDS": "0.3",
        }

    def told(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "ticklake.cli", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def following(self) -> Iterator["subprocess.Popen[bytes]"]:
        command = [sys.executable, "-m", "ticklake.cli", "ingest", "--follow", "-d", "trades"]
        process = subprocess.Popen(command, cwd=self.project, env=self.environment)
        try:
            yield process
            assert process.poll() is None  # it lived until it was told to stop
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + 90
        while len(self.rows()) < rows:
            assert time.monotonic() < deadline, f"{len(self.rows())} of {rows} rows"
            time.sleep(0.1)

    def rows(self) -> list[dict[str, Any]]:
        return bronze_rows.rows(load_settings({"LAKE_URI": str(self.lake)}).root / "bronze/trades")


def send(broker: Broker, *messages: dict[str, Any]) -> None:
    broker.produce(TOPIC, [Sent(json.dumps(m).encode(), sent_ms=1_759_500_000_000)
                           for m in messages])  # fmt: skip


def test_a_message_from_a_newer_version_waits_and_lands_after_the_contract_was_extended(
    tmp_path: Path, broker: Broker
) -> None:
    lake = tmp_path / "lake"
    broker.create_topic(TOPIC)
    old, new = House(REPOSITORY, lake, broker), House(extended(tmp_path / "new"), lake, broker)
    listed = {**trade(8, "12:00:05.5", 104), "conditions": ["@", "I"]}
    sideless = {k: v for k, v in trade(3, "12:00:03", 103).items() if k != "buySellIndicator"}
    with old.following():
        send(broker, trade(1, "12:00:01", 101), {**trade(2, "12:00:02", 109), "desk": "rates"})
        old.wait_for(2)
        send(broker, sideless, {**trade(4, "12:00:04"), "sequence": "four"}, trade(5, "12:00:05"),
             listed)  # fmt: skip
        old.wait_for(6)
    codes = {row["position"]: row["reject_code"] for row in old.rows()}
    assert codes == {0: None, 1: "SCHEMA_TYPE", 2: "SCHEMA_MISSING_FIELD", 3: "SCHEMA_TYPE",
                     4: None, 5: "SCHEMA_TYPE"}  # fmt: skip
    with new.following():
        send(broker, {**trade(6, "12:00:06", 106), "desk": "rates"})
        new.wait_for(7)
        (would,) = new.told("quarantine", "replay", "--dry-run")
        assert (would["examined"], would["passed"]) == (4, 3)
        (done,) = new.told("quarantine", "replay")
        assert (done["examined"], done["passed"]) == (4, 3)
        assert done["still_rejected"] == {"SCHEMA_TYPE": 1}
        send(broker, {**trade(7, "12:00:07", 107), "desk": "credit"})
        new.wait_for(11)
        (again,) = new.told("quarantine", "replay")
        assert (again["examined"], again["passed"]) == (1, 0)
    landed = Counter((row["trade_id"], row["contract_version"]) for row in new.rows()
                     if row["verdict"] == "ok")  # fmt: skip
    assert landed == Counter([("T1", 2), ("T2", 3), ("T3", 3), ("T5", 2), ("T6", 3), ("T7", 3),
                              ("T8", 3)])  # fmt: skip
    codes_of = {row["trade_id"]: row["condition_codes"] for row in new.rows()
                if row["verdict"] == "ok"}  # fmt: skip
    assert {name: codes for name, codes in codes_of.items() if codes} == {"T8": ["@", "I"]}
    assert new.told("build")["published"] is True
    (day,) = new.told(
        "sql",
        "select open, high, close, trade_count from gold.candles_1d where session_scope = 'all'",
    )
    assert [float(day[name]) for name in ("open", "high", "close")] == [101, 109, 107]
    assert day["trade_count"] == 7
    assert all(float(account["difference"]) == 0 for account in new.told("reconcile"))
