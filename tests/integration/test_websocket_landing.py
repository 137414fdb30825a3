"""Records over WebSocket: durable before they are acknowledged, each exactly once."""

import random
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from lake.layout import layout
from lake.settings import load_settings
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, every_poison, messages
from tests.faults.records import sound
from tests.following import following
from tests.listening import (
    REPOSITORY,
    TOKENS,
    Listeners,
    Live,
    closed,
    codes,
    landed,
    trade,
    trades,
    wrong,
)

POINTS = (
    "land.consumed",
    "land.decoded",
    "land.checked",
    "bronze.files_written",
    "bronze.files_synced",
    "bronze.committed",
    "bronze.log_synced",
    "land.acknowledged",
)


@pytest.fixture(scope="module")
def listeners() -> Iterator[Listeners]:
    """Processes to kill, 0.1 s each."""
    with Listeners() as server:
        yield server


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def live(listeners: Listeners, lake: Path) -> Iterator[Live]:
    """A listener over `lake`."""
    with listeners.listener(lake) as started:
        yield started


def test_what_is_acknowledged_is_there_after_kill_9(live: Live, lake: Path) -> None:
    with live.client() as client:
        client.send_batch(0, trades(0, 500))
        assert client.acknowledged(499) == {}
        live.kill()
    assert wrong(lake, {"desk": trades(0, 500)}) == []


@pytest.mark.parametrize("point", POINTS)
def test_each_record_is_there_once_when_the_listener_is_killed(
    point: str, listeners: Listeners, lake: Path
) -> None:
    """Two clients send again what was not acknowledged, from the number they are told."""
    rng = random.Random(point)
    now = datetime.now(UTC)
    bad = _poison(rng, "trades", now)
    sent = {
        name: [rng.choice(bad) if rng.random() < 0.3 else trade(n) for n in range(40)]
        for name in ("desk", "feed")
    }
    with listeners.listener(lake, TICKLAKE_FAULT=f"{point}:2") as live:
        acknowledged = _send_until_it_dies(live, sent)
        assert live.ended() == -signal.SIGKILL
    with listeners.listener(lake) as live:
        for name, records in sent.items():
            with live.client(name) as client:
                assert acknowledged[name] < client.next
                for number in range(acknowledged[name] + 1, len(records)):
                    client.send(number, records[number])
                client.acknowledged(len(records) - 1)
    assert wrong(lake, sent) == []


def _poison(rng: random.Random, dataset: str, moment: datetime) -> list[bytes]:
    """Every way to break a record, but those too long to be sent at all."""
    found = [value or b"" for value in every_poison(rng, dataset, moment)]
    return [value for value in found if len(value) <= 262_144]


def _send_until_it_dies(live: Live, sent: dict[str, list[bytes]]) -> dict[str, int]:
    """Send a third, hear, send the rest; returns the last number that each was acknowledged."""
    reached = dict.fromkeys(sent, -1)
    with live.client("desk") as desk, live.client("feed") as feed:
        try:
            for part in (range(13), range(13, 40)):
                for name, client in (("desk", desk), ("feed", feed)):
                    for number in part:
                        client.send(number, sent[name][number])
                for name, client in (("desk", desk), ("feed", feed)):
                    while reached[name] < part[-1]:
                        reached[name] = client.heard()["ack"]
        except ConnectionClosed:
            pass
    return reached


def test_two_clients_of_two_datasets_land_what_the_oracle_says(live: Live, lake: Path) -> None:
    """Sound records in every spelling, and every way to break one; codes come back by number."""
    for dataset, name in (("trades", "desk"), ("quotes", "feed")):
        rng = random.Random(dataset)
        now = datetime.now(UTC)
        records = _poison(rng, dataset, now)
        records += [sound(rng, dataset, number, now).encode() for number in range(100)]
        rng.shuffle(records)
        began = time.time_ns()
        with live.client(name, dataset) as client:
            for number, record in enumerate(records):
                client.send(number, record)
            said = client.acknowledged(len(records) - 1)
        assert wrong(lake, {name: records}, dataset) == []
        assert said == codes(lake, name, records, dataset)
        assert len(said) > 20
        times = [row["recv_ts_ns"] for row in landed(lake, dataset)]
        assert began <= min(times) <= max(times) <= time.time_ns()


def test_clients_of_a_dataset_share_commits_and_keep_their_own_source(
    listeners: Listeners, lake: Path
) -> None:
    slow = {"TICKLAKE_BATCH_SECONDS": 0.5}
    with (
        listeners.listener(lake, **slow) as live,
        live.client() as desk,
        live.client("feed") as feed,
    ):
        desk.send_batch(0, trades(0, 3))
        feed.send(0, trade(0))
        desk.acknowledged(2)
        feed.acknowledged(0)
    rows = landed(lake)
    assert len({row["batch"] for row in rows}) == 1
    assert sorted((row["unit"], row["position"], row["source"]) for row in rows) == [
        ("ws:desk/trades", 0, "ws:desk"),
        ("ws:desk/trades", 1, "ws:desk"),
        ("ws:desk/trades", 2, "ws:desk"),
        ("ws:feed/trades", 0, "ws:feed"),
    ]


def test_what_is_sent_again_is_acknowledged_and_not_landed_again(live: Live, lake: Path) -> None:
    with live.client() as client:
        client.send_batch(0, trades(0, 10))
        client.acknowledged(9)
        client.send(4, trade(4))
        assert client.heard() == {"ack": 9}
        client.send_batch(7, trades(7, 13))
        client.acknowledged(9)
        client.acknowledged(12)
    with live.client() as client:
        assert client.next == 13
        client.send_batch(0, trades(0, 13))
        assert client.heard() == {"ack": 12}
    assert wrong(lake, {"desk": trades(0, 13)}) == []


def test_a_gap_is_refused_and_told(live: Live, lake: Path) -> None:
    with live.client() as client:
        client.send(0, trade(0))
        client.acknowledged(0)
        client.send(2, trade(2))
        told = client.heard()
        assert (told["error"], told["next"]) == ("gap", 1)
        assert closed(client) == (4002, "gap")
    with live.client() as client:
        assert client.next == 1
    assert wrong(lake, {"desk": [trade(0)]}) == []


def test_a_batch_whose_lines_are_not_as_many_as_it_says_lands_nothing(
    live: Live, lake: Path
) -> None:
    with live.client() as client:
        client.socket.send(b"0 2\n" + b"\n".join(trades(0, 3)))
        assert "says 2 records and has 3 lines" in client.heard()["message"]
        assert closed(client) == (1007, "frame")
    with live.client() as client:
        assert client.next == 0
        client.send(0, b"no json\nover two lines")  # alone it is one record, whatever it holds
        assert client.acknowledged(0) == {0: "PARSE_ERROR"}
    assert wrong(lake, {"desk": [b"no json\nover two lines"]}) == []


def test_a_newer_connection_takes_over_and_the_older_one_lands_nothing_more(
    listeners: Listeners, lake: Path
) -> None:
    with listeners.listener(lake, TICKLAKE_BATCH_SECONDS=5) as live:
        with live.client() as old:
            old.send_batch(0, trades(0, 5))
            live.wait_for_waiting(5)
            with live.client() as new:  # does not wait five seconds: what the old one sent is
                assert new.next == 5  # decided before the new one hears where it stands
                while "ack" in (told := old.heard()):
                    assert told == {"ack": 4}
                assert told["error"] == "taken over"
                assert closed(old) == (4001, "taken over")
                new.send(5, trade(5))
                live.signal(signal.SIGTERM)
                new.acknowledged(5)
        assert live.ended() == 0
    assert wrong(lake, {"desk": trades(0, 6)}) == []


def test_a_listener_that_is_told_to_stop_lands_and_acknowledges_what_it_took(
    listeners: Listeners, lake: Path
) -> None:
    with listeners.listener(lake, TICKLAKE_BATCH_SECONDS=60) as live:
        with live.client("desk") as desk, live.client("feed", "quotes") as feed:
            desk.send_batch(0, trades(0, 50))
            feed.send(0, b"{}")
            live.wait_for_waiting(51)
            live.signal(signal.SIGTERM)
            assert desk.acknowledged(49) == {}
            assert feed.acknowledged(0) == {0: "SCHEMA_MISSING_FIELD"}
            assert desk.heard()["error"] == "stopping"
            assert closed(desk) == (1001, "stopping")
        assert live.ended() == 0
    assert wrong(lake, {"desk": trades(0, 50)}) == []
    assert wrong(lake, {"feed": [b"{}"]}, "quotes") == []


def test_a_batch_that_cannot_be_written_is_told_and_lands_when_there_is_space(
    listeners: Listeners, lake: Path
) -> None:
    """No file may grow beyond 100 kB: the disk is full for large batches and not for small."""
    noise = random.Random(1).randbytes(200_000)
    with listeners.listener(lake, largest_file=100_000) as live:
        with live.client() as client:
            client.send(0, trade(0))
            client.acknowledged(0)
            client.send(1, noise)
            assert client.heard()["error"] == "not landed"
            assert closed(client) == (1013, "not landed")
        with live.client() as client:
            assert client.next == 1
            client.send(1, trade(1))
            client.acknowledged(1)
    with listeners.listener(lake) as live, live.client() as client:
        assert client.next == 2
        client.send(2, noise)
        client.acknowledged(2)
    assert wrong(lake, {"desk": [*trades(0, 2), noise]}) == []


def test_the_client_that_the_page_shows_lands_its_trade_once_each_time_it_runs(
    live: Live, lake: Path
) -> None:
    page = (REPOSITORY / "docs" / "websocket.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for shown, real in (
        ("ws://127.0.0.1:8765/ws/market-data", live.url),
        ("the token", TOKENS["desk"]),
    ):
        assert shown in program
        program = program.replace(shown, real)
    for run in (1, 2):
        exec(compile(program, "docs/websocket.md", "exec"), {})
        rows = landed(lake)
        assert sorted(row["position"] for row in rows) == list(range(run))
        assert {(row["verdict"], row["trade_id"]) for row in rows} == {("ok", "T1")}


def test_a_listener_beside_ingest_follow_loses_nothing_of_either(
    listeners: Listeners, broker: Broker, lake: Path
) -> None:
    """Both commit to one table, several times a second."""
    topic = TOPICS["trades"]
    broker.create_topic(topic, 2)
    settings = load_settings({"LAKE_URI": str(lake), "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap})
    with listeners.listener(lake) as live, following(settings, "trades"), live.client() as client:
        broker.produce(topic, messages(0, "trades", 20, 2))
        _wait_for_rows(settings.root, 20)
        for turn in range(10):
            broker.produce(topic, messages(turn + 1, "trades", 20, 2))
            client.send_batch(turn * 10, trades(turn * 10, turn * 10 + 10))
            client.acknowledged(turn * 10 + 9)
            time.sleep(0.1)
        _wait_for_rows(settings.root, 320)
    rows = landed(lake)
    ours = [row for row in rows if row["unit"] == "ws:desk/trades"]
    assert sorted(row["position"] for row in ours) == list(range(100))
    assert len({row["batch"] for row in ours}) == 10
    theirs = [(row["unit"], row["position"]) for row in rows if row["unit"].startswith("kafka:")]
    assert len(theirs) == len(set(theirs)) == 220
    assert layout(settings).bronze("trades").exists()


def _wait_for_rows(lake: Path, count: int) -> None:
    deadline = time.monotonic() + 40
    while (found := len(landed(lake))) < count:
        assert time.monotonic() < deadline, f"{found} of {count}"
        time.sleep(0.05)
    assert found == count
