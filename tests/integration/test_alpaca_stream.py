"""Alpaca's stream lands as it comes, and what a break or a kill cost is fetched from history."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import Landing
from ingestion.sources import alpaca_gaps
from ingestion.sources.alpaca_history import Chosen
from ingestion.sources.alpaca_wire import Market
from ingestion.sources.vendor import VendorRefused
from ingestion.vendors import land_alpaca_stream
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.alpaca_server import SECRET, Alpaca, Answer, alpaca_server, ns_of

REPOSITORY = Path(__file__).resolve().parents[2]
IEX = Market("stocks", "iex")
TRADES = "/v2/stocks/trades"
PATIENCE_S = 30.0


@pytest.fixture
def alpaca() -> Iterator[Alpaca]:
    with alpaca_server() as started:
        yield started


@pytest.fixture(autouse=True)
def history_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """This vendor's history has a record at once; the real one's some seconds later."""
    monkeypatch.setattr(alpaca_gaps, "SETTLE_S", 0.2)


@pytest.fixture
def clocks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps begin where the stream was last heard, not some seconds before it."""
    monkeypatch.setattr(alpaca_gaps, "BEFORE_NS", 0)


def lake(alpaca: Alpaca, root: Path, **environment: str) -> Settings:
    given = {"LAKE_URI": str(root), "TICKLAKE_BATCH_SECONDS": "0.1", **environment}
    return load_settings({**alpaca.environment(), **given})


class Streaming:
    """A stream that runs in a thread."""

    def __init__(self, settings: Settings, *kinds: str) -> None:
        self.stopped = threading.Event()
        self.landings: list[Landing] = []
        self.error: Exception | None = None
        chosen = [Chosen(IEX, kind) for kind in kinds or ("trades",)]  # type: ignore[arg-type]

        def run() -> None:
            try:
                symbols = ["AAPL", "MSFT"]
                self.landings = land_alpaca_stream(settings, chosen, symbols, self.stopped)
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self) -> list[Landing]:
        self.stopped.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.landings


@contextmanager
def streaming(alpaca: Alpaca, settings: Settings, *kinds: str) -> Iterator[Streaming]:
    before = alpaca.connected
    stream = Streaming(settings, *kinds)
    until(lambda: alpaca.connected > before)
    try:
        yield stream
    finally:
        stream.stop()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for half a minute at most."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def now(later_s: int = 0) -> str:
    ns = time.time_ns() + later_s * 10**9
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09}Z"


def trade(alpaca: Alpaca, number: int, **fields: Any) -> dict[str, Any]:
    """A trade happens; its price and size follow from its number."""
    made = {"T": "t", "S": "AAPL", "i": number, "x": "V", "p": round(100 + number / 100, 2),
            "s": number + 1, "c": ["@"], "z": "C", "t": now(), **fields}  # fmt: skip
    alpaca.publish(TRADES, made)
    return made


def told(message: dict[str, Any]) -> tuple[Any, ...]:
    """What must land of a trade, from what was published alone."""
    price = Decimal(10_000 + message["i"]).scaleb(-2)
    return (str(message["i"]), message["S"], "V", price, Decimal(message["s"]),
            ns_of(message["t"]), "@", None)  # fmt: skip


def rows(settings: Settings, dataset: str = "trades") -> list[dict[str, Any]]:
    return bronze_rows.rows(layout(settings).bronze(dataset))


def events(settings: Settings) -> dict[tuple[Any, ...], int]:
    """Trades of bronze as told() says them -> how often each landed."""
    found: dict[tuple[Any, ...], int] = {}
    for row in rows(settings):
        key = (row["trade_id"], row["instrument_id"], row["venue"], row["price"], row["quantity"],
               row["event_ts_ns"], row["conditions"], row["status"])  # fmt: skip
        found[key] = found.get(key, 0) + 1
    return found


def positions_of(settings: Settings) -> dict[str, list[int]]:
    units: dict[str, list[int]] = {}
    for row in rows(settings):
        units.setdefault(row["unit"], []).append(row["position"])
    return {unit: sorted(positions) for unit, positions in units.items()}


def test_what_is_heard_lands_once_with_its_own_time_of_receipt(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings, "trades", "quotes", "bars") as stream:
        sent = [trade(alpaca, number) for number in range(50)]
        minute = f"{datetime.now(UTC):%Y-%m-%dT%H:%M}:00Z"
        alpaca.say(
            [
                {"T": "q", "S": "MSFT", "ax": "V", "ap": 500.1, "as": 3, "bx": "V", "bp": 500.05,
                 "bs": 2, "c": ["R"], "z": "C", "t": sent[0]["t"]},
                {"T": "b", "S": "MSFT", "o": 1.5, "h": 2.5, "l": 0.5, "c": 2, "v": 7, "n": 3,
                 "vw": 1.25, "t": minute},
            ]
        )  # fmt: skip
        until(lambda: len(rows(settings)) == 50 and len(rows(settings, "bars")) == 1)
        landings = stream.stop()
    assert [(one.dataset, one.ok, one.rejected) for one in landings] == [
        ("trades", 50, 0), ("quotes", 1, 0), ("bars", 1, 0)]  # fmt: skip
    assert events(settings) == {told(message): 1 for message in sent}
    (positions,) = positions_of(settings).values()
    assert positions == [*range(50)]
    for row in rows(settings):
        assert 0 <= row["recv_ts_ns"] - row["event_ts_ns"] < 5 * 10**9
        assert row["source"] == "alpaca_stocks_iex"
    (quote,) = rows(settings, "quotes")
    assert (quote["dealer_id"], quote["offer_price"]) == ("IEX", Decimal("500.1"))
    (bar,) = rows(settings, "bars")
    assert (bar["interval"], bar["close"], bar["volume"], bar["vwap"]) == (
        "1m", 2, 7, Decimal("1.25"))  # fmt: skip
    assert alpaca.asked == []  # nothing was missed


def test_what_happened_while_the_connection_was_broken_is_fetched(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings) as stream:
        sent = [trade(alpaca, number) for number in range(20)]
        until(lambda: len(rows(settings)) == 20)
        alpaca.drop()
        sent += [trade(alpaca, number) for number in range(20, 40)]
        until(lambda: alpaca.connected == 2)
        sent += [trade(alpaca, number) for number in range(40, 60)]
        until(lambda: len(events(settings)) == 60)
        until(lambda: len(rows(settings)) >= 80)
        stream.stop()
    assert set(events(settings)) == set(map(told, sent))
    # What came twice carries the same id under the same source: silver keeps one of each.
    identity = {(row["source"], row["venue"], row["trade_id"]) for row in rows(settings)}
    assert len(identity) == 60
    for positions in positions_of(settings).values():
        assert positions == [*range(len(positions))]


@pytest.mark.usefixtures("clocks_agree")
@pytest.mark.parametrize("fault", ["alpaca.consumed:3", "alpaca.gap_written:1"])
def test_nothing_is_lost_when_the_process_is_killed_and_started_again(
    fault: str, alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings):  # a first session, so that there is something to go on from
        sent = [trade(alpaca, number) for number in range(5)]
        until(lambda: len(rows(settings)) == 5)
    process = in_a_process(alpaca, settings, fault)
    try:
        if fault != "alpaca.gap_written:1":
            until(lambda: alpaca.connected == 2)
            until_killed = time.monotonic() + 3
            while process.poll() is None and time.monotonic() < until_killed:
                sent.append(trade(alpaca, len(sent)))
                time.sleep(0.05)
            process.kill()
        process.wait(PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    sent += [trade(alpaca, number) for number in range(len(sent), len(sent) + 5)]  # nobody listens
    with streaming(alpaca, settings):
        sent.append(trade(alpaca, len(sent)))
        until(lambda: len(events(settings)) == len(sent))
    assert set(events(settings)) == set(map(told, sent))
    for positions in positions_of(settings).values():
        assert positions == [*range(len(positions))]


def in_a_process(alpaca: Alpaca, settings: Settings, fault: str) -> "subprocess.Popen[bytes]":
    """`ticklake alpaca stream`, with a fault."""
    given = {
        **alpaca.environment(),
        "LAKE_URI": str(settings.root),
        "TICKLAKE_BATCH_SECONDS": "0.1",
        "TICKLAKE_FAULT": fault,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ticklake.cli", "alpaca", "stream", "--symbols", "AAPL,MSFT",
         "--trades"],
        cwd=REPOSITORY,
        env={**os.environ, **given},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.usefixtures("clocks_agree")
def test_what_was_heard_late_does_not_hide_what_followed_it(alpaca: Alpaca, tmp_path: Path) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings):
        time.sleep(2.2)
        sent = [trade(alpaca, 0, t=now(-2))]  # it waited two seconds behind others
        until(lambda: len(rows(settings)) == 1)
        alpaca.drop()
        sent.append(trade(alpaca, 1, t=now(-1)))
        until(lambda: len(events(settings)) == 2)
    assert set(events(settings)) == set(map(told, sent))


@pytest.mark.usefixtures("clocks_agree")
def test_a_gap_that_cannot_be_fetched_is_fetched_at_the_next_start(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path, TICKLAKE_VENDOR_PATIENCE="0")
    with streaming(alpaca, settings):
        sent = [trade(alpaca, number) for number in range(5)]
        until(lambda: len(rows(settings)) == 5)
    sent += [trade(alpaca, number) for number in range(5, 10)]
    alpaca.instead.append(Answer(500))
    with streaming(alpaca, settings):
        until(lambda: not alpaca.instead)
        sent.append(trade(alpaca, 10))
        until(lambda: len(events(settings)) == 6)
    assert len(events(settings)) == 6
    with streaming(alpaca, settings):
        until(lambda: len(events(settings)) == 11)
    assert set(events(settings)) == set(map(told, sent))


def test_corrections_and_cancels_say_which_trade_they_are_about(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    at = now()
    with streaming(alpaca, settings):
        alpaca.say(
            [
                {"T": "c", "S": "AAPL", "x": "V", "oi": 7, "op": 1.25, "os": 10, "oc": ["@"],
                 "ci": 8, "cp": 1.5, "cs": 20, "cc": ["@", "I"], "z": "C", "t": at},
                {"T": "x", "S": "AAPL", "x": "V", "i": 9, "p": 1.75, "s": 30, "a": "C", "z": "C",
                 "t": at},
            ]
        )  # fmt: skip
        until(lambda: len(rows(settings)) == 2)
    names = ("trade_id", "ref_trade_id", "status", "price", "quantity", "conditions", "venue")
    told = sorted(tuple(row[name] for name in names) for row in rows(settings))
    assert told == [
        ("8", "7", "CORRECT", Decimal("1.5"), 20, "@,I", "V"),
        ("9", "9", "CANCEL", Decimal("1.75"), 30, None, "V"),
    ]


def test_a_message_that_breaks_its_contract_is_kept_and_the_stream_goes_on(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings):
        trade(alpaca, 0, p=-1.5)
        trade(alpaca, 1)
        until(lambda: len(rows(settings)) == 2)
    (kept,) = [row for row in rows(settings) if row["verdict"] == "rejected"]
    assert kept["reject_code"] == "PRICE_NOT_POSITIVE"
    assert b'"S":"AAPL","i":0,"x":"V","p":-1.5' in kept["raw"]


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        (402, "auth failed", "TICKLAKE_ALPACA_SECRET"),
        (409, "insufficient subscription", "TICKLAKE_ALPACA_FEED=iex"),
        (405, "symbol limit exceeded", "ask for fewer symbols"),
        (406, "connection limit exceeded", "stop the other program"),
    ],
)
def test_a_refusal_for_good_ends_the_stream_and_says_what_to_do(
    code: int, message: str, says: str, alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path, TICKLAKE_VENDOR_PATIENCE="0")
    alpaca.refuse = (code, message)
    stream = Streaming(settings)
    stream.thread.join(PATIENCE_S)
    assert isinstance(stream.error, VendorRefused)
    assert message in str(stream.error)
    assert says in str(stream.error)
    assert SECRET not in str(stream.error)


def test_a_slow_client_that_alpaca_dropped_and_a_limit_that_passes_are_got_over(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    settings = lake(alpaca, tmp_path)
    with streaming(alpaca, settings):
        sent = [trade(alpaca, 0)]
        until(lambda: len(rows(settings)) == 1)
        alpaca.refuse = (406, "connection limit exceeded")
        alpaca.error(407, "slow client")
        sent.append(trade(alpaca, 1))
        until(lambda: len(alpaca.connections) == 0)
        alpaca.refuse = None
        until(lambda: alpaca.connected == 2)
        until(lambda: len(events(settings)) == 2)
    assert set(events(settings)) == set(map(told, sent))


def test_more_messages_than_the_queue_holds_all_land(alpaca: Alpaca, tmp_path: Path) -> None:
    settings = lake(alpaca, tmp_path, TICKLAKE_BATCH_ROWS="50")
    at = now()
    burst = [
        {"T": "t", "S": "AAPL", "i": n, "x": "V", "p": round(100 + n / 100, 2), "s": n + 1,
         "c": ["@"], "z": "C", "t": at}
        for n in range(1_000)
    ]  # fmt: skip
    with streaming(alpaca, settings):
        for first in range(0, 1_000, 100):
            alpaca.say(burst[first : first + 100])
        until(lambda: len(rows(settings)) == 1_000)
    assert events(settings) == {told(message): 1 for message in burst}
