"""Who may send over WebSocket, how much and how fast, and what a bad client costs the others."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.listening import TOKENS, Client, Listeners, Live, closed, landed, trade, trades, wrong

LIMIT = 262_144  # TICKLAKE_MAX_RECORD_BYTES as it comes


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


def test_only_a_client_whose_token_is_known_is_let_in_and_no_token_is_logged(
    live: Live, lake: Path
) -> None:
    wrong_one = "desk-not-the-token-of-anybody"
    with pytest.raises(InvalidStatus) as refused, live.connected(token=wrong_one):
        pass
    assert refused.value.response.status_code == 401
    for greeting in ({"token": wrong_one}, {}):
        with live.connected(name=None) as unknown:
            unknown.send(json.dumps({"dataset": "trades", **greeting}))
            assert json.loads(unknown.recv(10))["error"] == "token"
            assert closed(unknown) == (1008, "token")
    with live.connected(name=None) as browser:  # which cannot set a header
        browser.send(json.dumps({"topic": "trax-trades", "token": TOKENS["feed"]}))
        client = Client(browser, json.loads(browser.recv(10))["welcome"])
        assert client.welcome["unit"] == "ws:feed/trades"
        browser.send("0\n" + trade(0).decode())
        assert client.acknowledged(0) == {}
    assert wrong(lake, {"feed": [trade(0)]}) == []
    log = live.log.read_text()
    assert "turned away" in log
    assert not [token for token in (*TOKENS.values(), wrong_one) if token in log]


@pytest.mark.parametrize(
    ("greeting", "code", "word"),
    [
        ('{"dataset": "candles"}', 1008, "dataset"),
        ('{"dataset": "trades", "topic": "market.trades.v1"}', 1007, "greeting"),
        ('{"dataset": "trades", "position": 5}', 1007, "greeting"),
        ("trades", 1007, "greeting"),
    ],
)
def test_a_greeting_that_names_no_dataset_is_refused(
    greeting: str, code: int, word: str, live: Live
) -> None:
    with live.connected() as client:
        client.send(greeting)
        assert json.loads(client.recv(10))["error"] == word
        assert closed(client) == (code, word)


def test_a_listener_without_tokens_or_beside_another_does_not_start(
    listeners: Listeners, lake: Path, live: Live
) -> None:
    code, said = listeners.refused(lake.parent / "empty", TICKLAKE_LISTEN_TOKENS="")
    assert code == 1
    assert "TICKLAKE_LISTEN_TOKENS is empty" in said
    code, said = listeners.refused(lake)
    assert code == 1
    assert f"listen is held by process {live.pid}" in said


def test_a_message_of_the_limit_is_taken_and_a_longer_one_is_told_and_closed(
    live: Live, lake: Path
) -> None:
    fits = trade(0)[:-1] + b" " * (LIMIT - len(trade(0))) + b"}"
    assert len(fits) == LIMIT
    with live.client() as client:
        client.send(0, fits)
        assert client.acknowledged(0) == {}
        client.send(1, fits + b" ")  # one byte more is in the message's tolerance: quarantine
        assert client.acknowledged(1) == {1: "PARSE_ERROR"}
        client.send(2, fits + b" " * 100)
        assert client.heard()["error"] == "too big"
        assert closed(client) == (1009, "too big")
    with live.client() as client:
        assert client.next == 2
        client.socket.send(b"2 10001\n" + b"\n" * 10_001)
        assert closed(client) == (1009, "too many")
    assert wrong(lake, {"desk": [fits, fits + b" "]}) == []


def test_a_client_that_is_too_fast_is_told_and_one_that_goes_on_is_closed(
    listeners: Listeners, lake: Path
) -> None:
    with listeners.listener(lake, TICKLAKE_LISTEN_RATE=10) as live:
        with live.client("desk") as hasty, live.client("feed") as patient:
            hasty.send_batch(0, trades(0, 60))  # ten at once, the other fifty are five seconds
            told = hasty.heard()
            assert 4 < told["slow_down"] <= 5
            hasty.send_batch(60, trades(60, 200))
            assert closed(hasty) == (1008, "too fast")
            patient.send_batch(0, trades(0, 14))
            told = patient.heard()
            assert 0 < told["slow_down"] <= 0.4
            time.sleep(told["slow_down"])
            patient.send(14, trade(14))
            while (told := patient.heard()).get("ack") != 14:
                assert told.keys() & {"ack", "slow_down"}, told
        with live.client("desk") as hasty:
            assert hasty.next == 60
    assert wrong(lake, {"desk": trades(0, 60), "feed": trades(0, 15)}) == []


def test_one_connection_more_than_allowed_is_turned_away_until_another_leaves(
    listeners: Listeners, lake: Path
) -> None:
    with listeners.listener(lake, TICKLAKE_LISTEN_CONNECTIONS=2) as live:
        with live.client("desk"), live.client("feed"):
            assert live.health() == (
                200,
                {"status": "ok", "connections": 2, "waiting": 0, "failing": []},
            )
            with pytest.raises(InvalidStatus) as refused, live.connected("other"):
                pass
            assert refused.value.response.status_code == 503
        deadline = time.monotonic() + 10
        while live.health()[1]["connections"]:
            assert time.monotonic() < deadline
        with live.client("other") as client:
            assert client.next == 0


def test_a_tenfold_burst_is_held_back_and_not_kept_in_memory(
    listeners: Listeners, lake: Path
) -> None:
    """The buffer is 4 MB. Of 144 MB that the larger burst has more, not even half may be kept:
    the allocator's own ups and downs are some 30 MB, and with room for all it was 440 MB.
    """
    record = b"x" * 250_000
    room = {"TICKLAKE_LISTEN_BUFFER_BYTES": 4_000_000}
    with listeners.listener(lake, **room) as live, live.client() as client:
        _send_all(client, record, range(64))
        small = live.peak_bytes()
        _send_all(client, record, range(64, 704))
        assert live.peak_bytes() - small < 72_000_000
    assert len(landed(lake)) == 704


def _send_all(client: Client, record: bytes, numbers: range) -> None:
    for number in numbers:
        client.send(number, record)
    assert len(client.acknowledged(numbers[-1])) == len(numbers)


def test_a_client_that_does_not_listen_is_not_read_and_costs_the_others_nothing(
    listeners: Listeners, lake: Path
) -> None:
    """It sends only poison, so that what it does not read is long."""
    lines, frames = 2_500, 60
    fast = {"TICKLAKE_BATCH_ROWS": 20_000, "TICKLAKE_LISTEN_RATE": 10_000_000}
    with (
        listeners.listener(lake, **fast) as live,
        live.client("feed") as other,
        _deaf(live) as connection,
    ):
        connection.send(json.dumps({"dataset": "trades"}))
        deaf = Client(connection, json.loads(connection.recv(10))["welcome"])
        sender = threading.Thread(target=_send_poison, args=(deaf, lines, frames))
        sender.start()
        held_back_at = _standstill(lake, "ws:desk/trades")
        assert 0 < held_back_at < frames * lines
        for number in range(5):
            began = time.monotonic()
            other.send(number, trade(number))
            assert other.acknowledged(number) == {}
            assert time.monotonic() - began < 2
        assert _position(lake, "ws:desk/trades") == held_back_at
        heard = deaf.acknowledged(frames * lines - 1)  # it listens at last
        sender.join(10)
    assert heard == dict.fromkeys(range(frames * lines), "PARSE_ERROR")
    rows = landed(lake)
    assert len(rows) == frames * lines + 5
    assert len({(row["unit"], row["position"]) for row in rows}) == len(rows)


def _send_poison(client: Client, lines: int, frames: int) -> None:
    for number in range(frames):
        client.send_batch(number * lines, [b"?"] * lines)


def _standstill(lake: Path, unit: str) -> int:
    """The position at which a unit stays for a second."""
    before, now = -1, _position(lake, unit)
    while before < now or now == 0:
        time.sleep(1.0)
        before, now = now, _position(lake, unit)
    return now


def _position(lake: Path, unit: str) -> int:
    table = lake / "bronze" / "trades"
    if not DeltaTable.is_deltatable(str(table)):
        return 0
    return DeltaTable(str(table)).transaction_version(unit) or 0


def _deaf(live: Live):  # type: ignore[no-untyped-def]
    """A connection that takes in one message and few bytes until it is asked for more."""
    host, port = live.url.split("/")[2].split(":")
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    own.connect((host, int(port)))
    headers = {"Authorization": f"Bearer {TOKENS['desk']}"}
    return connect(
        live.url, sock=own, additional_headers=headers, compression=None, max_queue=1,
        max_size=None, ping_interval=None,
    )  # fmt: skip
