"""Alpaca's stream: alpaca-py's client, telling what it does with errors and when it is connected.

It runs a loop of its own in a thread and hands everything over by one bounded queue. When that is
full it stops reading; Alpaca then drops the connection (407), and what was missed is history's.
"""

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgpack  # type: ignore[import-untyped]
import structlog
from alpaca.data.enums import CryptoFeed, DataFeed
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.live.websocket import DataStream

from ingestion.sources.alpaca_rest import keys
from ingestion.sources.alpaca_wire import Kind, Market, record_of
from ingestion.sources.vendor import VendorRefused
from lake.settings import Settings

log = structlog.get_logger()

FULL_PAUSE_S = 0.01
STOP_S = 5.0
CONNECTION_LIMIT = 406
# Errors after which connecting again may help; any other is a matter of settings.
_PASSING = {403, 404, CONNECTION_LIMIT, 407, 500}
_REMEDY = {
    401: "set TICKLAKE_ALPACA_KEY and TICKLAKE_ALPACA_SECRET to a valid pair",
    402: "set TICKLAKE_ALPACA_KEY and TICKLAKE_ALPACA_SECRET to a valid pair",
    405: "ask for fewer symbols: the plan limits them",
    CONNECTION_LIMIT: "stop the other program that streams with this key",
    409: "the plan does not cover this feed: set TICKLAKE_ALPACA_FEED=iex",
}
_KIND_OF: dict[str, Kind] = {
    "t": "trades",
    "c": "trades",
    "x": "trades",
    "q": "quotes",
    "b": "bars",
}
# What a message's own time says of when it was sent: a bar is sent when its minute is over.
_SENT_AFTER_NS = {"t": 0, "q": 0, "b": 60 * 10**9}


@dataclass(frozen=True)
class Connected:
    """From here on everything that was subscribed comes, over a connection with this name."""

    name: str
    at_ns: int


@dataclass(frozen=True)
class Heard:
    """One message, as JSON, when it was received, and when Alpaca had it, in ns since epoch UTC.

    `sent_ns` is 0 where the message does not say: the time in a correction is not its own.
    """

    kind: Kind
    record: bytes
    at_ns: int
    sent_ns: int


Item = Connected | Heard


class _Telling(DataStream):
    """alpaca-py's stream, which by itself logs errors and tries for ever."""

    inbox: "queue.Queue[Item]"
    patience_s: float
    _ws: Any
    refused: VendorRefused | None = None
    _limited_since: float | None = None

    async def _auth(self) -> None:
        """Send the keys; a refusal for good ends the stream."""
        asked = {"action": "auth", "key": self._api_key, "secret": self._secret_key}
        await self._ws.send(msgpack.packb(asked))
        (answer, *_) = msgpack.unpackb(await self._ws.recv())
        if answer.get("T") == "error":
            self._judge(answer)
            raise ValueError(f"{answer.get('msg')} ({answer.get('code')})")
        if answer.get("msg") != "authenticated":
            raise ValueError(f"no answer to the keys but {answer}")

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        if msg.get("T") == "subscription":
            self._limited_since = None
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
            await self._put(Connected(name, time.time_ns()))
            log.info("alpaca stream connected", connection=name)
        elif msg.get("T") == "error":
            self._judge(msg)
        else:
            await super()._dispatch(msg)

    async def hear(self, message: dict[str, Any]) -> None:
        """Hand a message over; waits while the queue is full."""
        kind = _KIND_OF[message["T"]]
        await self._put(Heard(kind, record_of(message), time.time_ns(), _sent_ns(message)))

    async def _put(self, item: Item) -> None:
        while True:
            try:
                return self.inbox.put_nowait(item)
            except queue.Full:
                await asyncio.sleep(FULL_PAUSE_S)

    def _judge(self, error: dict[str, Any]) -> None:
        """End the stream where connecting again cannot help."""
        code, said = error.get("code"), error.get("msg")
        log.warning("alpaca stream", error=said, code=code)
        if code == CONNECTION_LIMIT:  # our own last connection may not be forgotten there yet
            self._limited_since = self._limited_since or time.monotonic()
            if time.monotonic() - self._limited_since < self.patience_s:
                return
        elif code in _PASSING:
            return
        remedy = _REMEDY.get(code or 0, "look at what was asked for")
        self.refused = VendorRefused(f"{self._endpoint}: {said} ({code}). Remedy: {remedy}")
        self._should_run = False
        if self._stop_stream_event is not None:
            self._stop_stream_event.set()
        self._stop_stream_queue.put_nowait({"should_stop": True})


class _Stocks(_Telling, StockDataStream):
    """Stocks."""


class _Crypto(_Telling, CryptoDataStream):
    """Crypto."""


class Live:
    """A running stream of some kinds of records of some symbols."""

    def __init__(
        self, market: Market, kinds: Iterable[Kind], symbols: Iterable[str], settings: Settings
    ) -> None:
        """Raises VendorRefused where the keys are not set."""
        self.inbox: queue.Queue[Item] = queue.Queue(maxsize=settings.batch_rows)
        self._client = _client(market, settings)
        self._client.inbox = self.inbox
        self._client.patience_s = settings.vendor_patience_s
        for kind in kinds:
            getattr(self._client, f"subscribe_{kind}")(self._client.hear, *symbols)
        if "trades" in kinds and market.asset == "stocks":
            self._client.register_trade_corrections(self._client.hear)
            self._client.register_trade_cancels(self._client.hear)
        self._thread = threading.Thread(target=self._client.run, name="alpaca", daemon=True)

    def start(self) -> None:
        """Connect, and stay connected until stopped or refused."""
        _speak_through_our_log()
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Does it connect, or read?"""
        return self._thread.is_alive()

    @property
    def refused(self) -> VendorRefused | None:
        """Why it ended by itself."""
        why: VendorRefused | None = self._client.refused
        return why

    def stop(self) -> None:
        """Leave Alpaca. What is in the queue stays there; what is not is fetched next time."""
        loop = self._client._loop
        if loop is None or not self._thread.is_alive():
            return
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._client.stop()
            asyncio.run_coroutine_threadsafe(self._client.close(), loop).result(STOP_S)


def _client(market: Market, settings: Settings) -> Any:
    key, secret = keys(settings)
    base = settings.alpaca_stream_url.rstrip("/")
    if market.asset == "stocks":
        url = f"{base}/v2/{market.name}"
        return _Stocks(key, secret, True, DataFeed(market.name), url_override=url)
    url = f"{base}/v1beta3/crypto/{market.name}"
    return _Crypto(key, secret, True, CryptoFeed(market.name), url_override=url)


def _sent_ns(message: dict[str, Any]) -> int:
    moment = message.get("t")
    if message["T"] not in _SENT_AFTER_NS or not isinstance(moment, msgpack.Timestamp):
        return 0
    return int(moment.seconds * 10**9 + moment.nanoseconds) + _SENT_AFTER_NS[message["T"]]


class _OurLog(logging.Handler):
    """alpaca-py's warnings as lines of our log, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        log.warning("alpaca stream", why=record.getMessage())


def _speak_through_our_log() -> None:
    theirs = logging.getLogger("alpaca.data.live.websocket")
    if not any(isinstance(handler, _OurLog) for handler in theirs.handlers):
        theirs.addHandler(_OurLog(logging.WARNING))
        theirs.propagate = False
