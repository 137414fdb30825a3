"""`ticklake generate` in processes of its own: all its targets, and what it refuses."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.embedded_broker import Broker
from tests.generating import (
    DAY,
    SMALL,
    command,
    counts,
    drained,
    environment,
    generate,
    told,
)
from ticklake.cli import app


def test_files_are_written_where_and_as_it_says_and_again_byte_for_byte(tmp_path: Path) -> None:
    lakes = [tmp_path / "one", tmp_path / "two"]
    for lake in lakes:
        facts = told(generate(lake, *SMALL, "--format", "csv", "--json"))
        assert counts(facts) == {"securities": 300, "quotes": 3_000, "trades": 2_000}
        for row in facts["datasets"]:
            file = lake / "generated" / row["dataset"] / f"{DAY}.csv"
            assert row["where"] == str(file.parent)
            assert row["bytes"] == file.stat().st_size
            assert file.read_bytes().count(b"\n") == row["messages"] + 1
        assert facts["truth"] == []
    files = [{p.relative_to(lake): p.read_bytes() for p in lake.rglob("*.csv")} for lake in lakes]
    assert files[0] == files[1]


def test_people_get_a_table_with_the_rate_and_where_the_truth_lies(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = generate(
        tmp_path, *SMALL, "--faults", "5%", "--format", "jsonl", "--out", str(out), "-d", "trades"
    )
    assert done.returncode == 0, done.stderr
    assert "messages/s" in done.stdout and "2,000" in done.stdout
    assert f"What must become of it: {out / 'truth.parquet'}" in done.stdout
    assert pl.read_parquet(out / "truth.parquet").height == 100
    assert not (out / "quotes").exists()


def test_kafka_gets_every_message_once_keyed_and_stamped_with_its_arrival(
    tmp_path: Path, broker: Broker
) -> None:
    facts = told(
        generate(
            tmp_path,
            *SMALL,
            "--to",
            "kafka",
            "--faults",
            "5%",
            "--json",
            bootstrap=broker.bootstrap,
        )
    )
    found = drained(broker)
    assert counts(facts) == {name: len(rows) for name, rows in found.items()}
    assert counts(facts) == {"securities": 300, "quotes": 3_000, "trades": 2_000}
    sizes = {name: sum(len(value) for _, value, _ in rows) for name, rows in found.items()}
    assert {row["dataset"]: row["bytes"] for row in facts["datasets"]} == sizes
    for key, value, sent_ms in found["quotes"]:
        row = json.loads(value)
        assert row["instrumentId"].encode() == key
        event_ms = datetime.fromisoformat(row["timestamp"]).timestamp() * 1000
        assert 0 < sent_ms - event_ms <= 202
    (truth,) = facts["truth"]
    assert pl.read_parquet(truth).height == 100


def test_bronze_gets_the_same_messages_once_however_often_it_is_asked(tmp_path: Path) -> None:
    arguments = (*SMALL, "--to", "bronze", "--faults", "5%", "--json")
    first, second = (told(generate(tmp_path, *arguments)) for _ in range(2))
    assert counts(first) == {"securities": 300, "quotes": 3_000, "trades": 2_000}
    assert counts(second) == {"securities": 0, "quotes": 0, "trades": 0}
    assert {row["bytes"] for row in first["datasets"]} == {None}


def test_cycles_land_in_bronze_each_once(tmp_path: Path) -> None:
    arguments = (*SMALL, "--to", "bronze", "--faults", "5%", "--json", "--cycles")
    assert counts(told(generate(tmp_path, *arguments, "2")))["trades"] == 4_000
    # The first two have landed: only the third is new.
    facts = told(generate(tmp_path, *arguments, "3"))
    assert counts(facts) == {"securities": 0, "quotes": 3_000, "trades": 2_000}
    (folder,) = facts["truth"]
    truths = [pl.read_parquet(Path(folder) / f"cycle={number}.parquet") for number in range(3)]
    assert [set(one["cycle"]) for one in truths] == [{0}, {1}, {2}]
    assert {one.height for one in truths} == {100}


def test_without_a_broker_the_error_says_so_and_what_to_do(tmp_path: Path) -> None:
    away = {"TICKLAKE_KAFKA_TIMEOUT": "1"}
    done = subprocess.run(
        command(*SMALL, "--to", "kafka"),
        env={**environment(tmp_path, "127.0.0.1:1"), **away},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--quotes", "many"), "is not a number of messages"),
        (("--faults", "5%"), "faults need JSON"),
        (("--faults", "5%", "--format", "csv"), "a row of csv cannot be broken"),
        (("--faults", "80%", "--format", "jsonl"), "fault_share must lie in 0..0.5"),
        (("--dataset", "alerts"), "no dataset 'alerts'"),
        (("--dataset", "orders", "--preset", "full"), "there would be no orders"),
        (("--infinite", "--bars", "--dataset", "bars"), "cannot be part of an endless stream"),
        (("--infinite", "--cycles", "2"), "give one of them"),
        (("--infinite", "--days", "3"), "repeats one day"),
        (("--speed", "5"), "add --to kafka"),
        (("--speed", "0", "--to", "kafka"), "--speed must be above 0"),
        (("--realtime", "--speed", "2", "--to", "kafka"), "--realtime is speed 1"),
        (("--ramp",), "--ramp is for --infinite or --cycles"),
        (("--to", "kafka"), "set TICKLAKE_KAFKA_BOOTSTRAP"),
        (("--to", "bronze", "--format", "csv"), "are for files"),
        (("--securities", "3"), "securities must be 50 or more"),
        (("--market", "nowhere.yml"), "market file nowhere.yml"),
        (("--days", "2", "--day", DAY), "either --day, or --days"),
    ],
)
def test_what_cannot_be_is_one_message_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    monkeypatch.setenv("TICKLAKE_KAFKA_BOOTSTRAP", "")
    done = CliRunner().invoke(app, ["generate", *arguments])
    assert done.exit_code == 2
    # The message may be folded into a frame.
    assert reason in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "lake").exists()


def test_a_market_file_replaces_what_it_names(tmp_path: Path) -> None:
    market = tmp_path / "market.yml"
    market.write_text("venues: [XNYS, XNAS]\n")
    told(generate(tmp_path, *SMALL, "--market", str(market), "--format", "jsonl", "--json"))
    trades = (tmp_path / "generated" / "trades" / f"{DAY}.jsonl").read_text().splitlines()
    assert {json.loads(line).get("venue") for line in trades} == {"XNYS", "XNAS", None}
