"""`ticklake generate` in processes of its own: all targets, and what Ctrl-C and a kill leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from typer.testing import CliRunner

from tests.embedded_broker import Broker
from ticklake.cli import app

DAY = "2025-10-02"
SMALL = (
    "--preset",
    "high-volume",
    "--quotes",
    "3k",
    "--trades",
    "2k",
    "--securities",
    "300",
    "--day",
    DAY,
)
TOPICS = {
    "securities": "reference.securities.v1",
    "quotes": "market.quotes.v1",
    "trades": "market.trades.v1",
}
Messages = dict[str, list[tuple[bytes, bytes, int]]]  # by dataset: key, value, Kafka's time


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ticklake.cli", "generate", *arguments]


def environment(lake: Path, bootstrap: str = "") -> dict[str, str]:
    return {**os.environ, "LAKE_URI": str(lake), "TICKLAKE_KAFKA_BOOTSTRAP": bootstrap}


def generate(lake: Path, *arguments: str, bootstrap: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(lake, bootstrap),
        capture_output=True,
        text=True,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def counts(facts: dict[str, Any]) -> dict[str, int]:
    return {row["dataset"]: row["messages"] for row in facts["datasets"]}


def interrupted(
    lake: Path, *arguments: str, ready: Callable[[], bool], bootstrap: str = ""
) -> tuple[int, dict[str, Any], str]:
    """Ctrl-C once `ready`; exit code, what was told on stdout, and stderr."""
    process = subprocess.Popen(
        command(*arguments, "--json"),
        env=environment(lake, bootstrap),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(ready, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, json.loads(out), err


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline, "nothing happened within a minute"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def drained(broker: Broker, enough: int | None = None) -> Messages:
    """Every message of the topics, or the first `enough`: an endless stream may outrun us."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "test",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    names = {topic: dataset for dataset, topic in TOPICS.items()}
    known = consumer.list_topics(timeout=10).topics
    places = [
        TopicPartition(topic, number, 0)
        for topic in names
        if topic in known
        for number in known[topic].partitions
    ]
    consumer.assign(places)
    found: Messages = {dataset: [] for dataset in TOPICS}
    # A partition whose end was reached may grow and end again: one end is enough.
    unread = {(place.topic, place.partition) for place in places}
    while unread and (enough is None or sum(map(len, found.values())) < enough):
        for message in consumer.consume(5_000, 1.0):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                unread.discard((message.topic(), message.partition()))
                continue
            found[names[message.topic()]].append(
                (message.key(), message.value(), message.timestamp()[1])
            )
    consumer.close()
    return found


def has(broker: Broker, messages: int) -> bool:
    """Has the broker as many messages by now?"""
    return sum(map(len, drained(broker, messages).values())) >= messages


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


def test_ctrl_c_ends_an_endless_stream_to_kafka_with_every_message_whole_and_counted(
    tmp_path: Path, broker: Broker
) -> None:
    code, facts, err = interrupted(
        tmp_path,
        *(*SMALL, "--infinite", "--to", "kafka"),
        ready=lambda: has(broker, 12_001),
        bootstrap=broker.bootstrap,
    )
    assert code == 0, err
    assert facts["stopped"]
    found = drained(broker)
    assert counts(facts) == {name: len(rows) for name, rows in found.items()}
    assert len(found["securities"]) == 300
    ids: Counter[str] = Counter()
    for rows in found.values():
        for _, value, _ in rows:
            ids[json.loads(value).get("tradeId")] += 1
    del ids[None]
    assert len(ids) == len(found["trades"]) > 4_000
    assert any(name.endswith("-C2") for name in ids)


def test_after_ctrl_c_the_truth_speaks_of_what_was_sent_and_of_nothing_else(
    tmp_path: Path, broker: Broker
) -> None:
    code, facts, err = interrupted(
        tmp_path,
        *(*SMALL, "--infinite", "--speed", "20000", "--faults", "20%", "--to", "kafka"),
        ready=lambda: has(broker, 9_000),
        bootstrap=broker.bootstrap,
    )
    assert code == 0, err
    (folder,) = facts["truth"]
    told_of = pl.read_parquet(f"{folder}/cycle=*.parquet", hive_partitioning=False)
    broken = told_of.filter(verdict="rejected", code="PARSE_ERROR")["digest"]
    sent = [value for _, value, _ in drained(broker)["trades"]]
    unreadable = [md5(value).hexdigest() for value in sent if not is_json(value)]
    assert 0 < len(told_of) < 3 * 400 and len(unreadable) > 0
    assert sorted(broken) == sorted(unreadable)


def is_json(value: bytes) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def test_ctrl_c_ends_an_endless_stream_to_files_with_whole_files_only(tmp_path: Path) -> None:
    trades = tmp_path / "out" / "trades"
    code, facts, err = interrupted(
        tmp_path,
        *(*SMALL, "--infinite", "--format", "jsonl", "--out", str(tmp_path / "out")),
        ready=(trades / f"{DAY}.C1.jsonl").exists,
    )
    assert code == 0, err
    assert not list((tmp_path / "out").rglob("*.part"))
    for dataset, size in (("quotes", 3_000), ("trades", 2_000)):
        files = sorted((tmp_path / "out" / dataset).iterdir())
        assert counts(facts)[dataset] == size * len(files)
        for file in files:
            lines = file.read_bytes().split(b"\n")
            assert len(lines) == size + 1 and lines[-1] == b""
            assert json.loads(lines[-2])


def test_ctrl_c_in_a_finite_run_is_told_by_the_exit_code(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "securities"
    code, facts, _ = interrupted(
        tmp_path,
        *("--securities", "5M", "--dataset", "securities", "--out", str(tmp_path / "out")),
        ready=lambda: any(folder.glob("*.part")),
    )
    assert code == 130
    assert facts["stopped"]
    assert list(folder.iterdir()) == []


def test_a_kill_leaves_no_file_under_its_name_and_the_next_run_clears_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--dataset", "securities", "--day", DAY, "--out", str(out))
    process = subprocess.Popen(
        command("--securities", "5M", *arguments),
        env=environment(tmp_path),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: any((out / "securities").glob("*.part")), process)
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in (out / "securities").iterdir()] == [f"{DAY}.parquet.part"]
    told(generate(tmp_path, "--securities", "300", *arguments, "--format", "csv", "--json"))
    assert [path.name for path in (out / "securities").iterdir()] == [f"{DAY}.csv"]


def test_speed_lets_so_many_market_seconds_pass_in_a_second(tmp_path: Path, broker: Broker) -> None:
    seconds, speed = 3.0, 600
    started: list[float] = []

    def after_a_while() -> bool:
        if not started and has(broker, 301):  # securities come at once
            started.append(time.monotonic())
        return bool(started) and time.monotonic() - started[0] > seconds

    code, _, err = interrupted(
        tmp_path,
        *(*SMALL, "--infinite", "--to", "kafka", "--speed", str(speed)),
        ready=after_a_while,
        bootstrap=broker.bootstrap,
    )
    assert code == 0, err
    sent = [at for name in ("quotes", "trades") for _, _, at in drained(broker)[name]]
    passed = (max(sent) - min(sent)) / 1000
    # The broker is looked at and the stream stopped with some delay.
    assert 0.9 * seconds * speed <= passed <= (seconds + 2.5) * speed


def test_in_real_time_the_session_opens_now_and_messages_are_stamped_as_they_are_sent(
    tmp_path: Path, broker: Broker
) -> None:
    before = time.time()
    code, _, err = interrupted(
        tmp_path,
        *("--preset", "high-volume", "--quotes", "600k", "--trades", "300k"),
        *("--securities", "300", "--day", DAY),
        *("--realtime", "--to", "kafka"),
        ready=lambda: has(broker, 701),
        bootstrap=broker.bootstrap,
    )
    assert code == 130, err
    found = drained(broker)
    rows = [*found["quotes"], *found["trades"]]
    assert len(rows) > 400
    events = []
    for _, value, sent_ms in rows:
        event = datetime.fromisoformat(json.loads(value)["timestamp"]).timestamp()
        events.append(event)
        # Messages take 1 to 200 ms to arrive, and leave within 100 ms and some of scheduling.
        assert 0 < sent_ms / 1000 - event < 2
    assert before < min(events) and max(events) < time.time()
