"""`ticklake generate` stopped by Ctrl-C or a kill, and at the pace it was asked for."""

import json
import subprocess
import time
from collections import Counter
from datetime import datetime
from hashlib import md5
from pathlib import Path

import polars as pl

from tests.embedded_broker import Broker
from tests.generating import (
    DAY,
    SMALL,
    command,
    counts,
    drained,
    environment,
    generate,
    has,
    interrupted,
    told,
    wait_for,
)


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
