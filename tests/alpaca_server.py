"""Alpaca as its documentation describes it, on 127.0.0.1: history page by page, and the stream.

What happens on it is real: answers come over sockets, in the vendor's own text and codecs. Nothing
of the project takes part.
"""

import asyncio
import base64
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

KEY, SECRET = "PKTEST", "s3cr3t-of-the-desk"
LETTERS = {"trades": "t", "quotes": "q", "bars": "b"}


@dataclass
class Answer:
    """An answer in the place of the right one; with no status, none at all."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message":"out of order"}'


def ns_of(time: str) -> int:
    """RFC 3339 in UTC, to the nanosecond, as ns since epoch."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


class Alpaca:
    """The vendor: what it has, what went wrong, who asked for what."""

    def __init__(self) -> None:
        self.history: dict[tuple[str, str], list[str]] = {}  # (path, symbol) -> records as text
        self.instead: deque[Answer | None] = deque()  # answers to the next requests; None: right
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.per_page = 10_000
        self.connections: list[ServerConnection] = []
        self.subscribed: dict[ServerConnection, dict[str, list[str]]] = {}
        self.connected = 0
        self.refuse: tuple[int, str] | None = None  # an error instead of "authenticated"
        self.loop = asyncio.new_event_loop()
        self.url = self.stream_url = ""

    def environment(self) -> dict[str, str]:
        """Settings that lead here."""
        return {
            "TICKLAKE_ALPACA_KEY": KEY,
            "TICKLAKE_ALPACA_SECRET": SECRET,
            "TICKLAKE_ALPACA_URL": self.url,
            "TICKLAKE_ALPACA_STREAM_URL": self.stream_url,
            "TICKLAKE_ALPACA_RATE": "100000",
        }

    def answer(self, path: str, query: dict[str, str]) -> str:
        """A page: by symbol, then by time; both ends of the range are part of it."""
        kind = path.rpartition("/")[2]
        first, last = ns_of(query["start"]), ns_of(query["end"])
        rows = [
            (symbol, record)
            for symbol in sorted(query["symbols"].split(","))
            for record in self.history.get((path, symbol), [])
            if first <= ns_of(json.loads(record)["t"]) <= last
        ]
        token = query.get("page_token")
        start = int(base64.b64decode(token)) if token else 0
        end = start + min(int(query["limit"]), self.per_page)
        by_symbol: dict[str, list[str]] = {}
        for symbol, record in rows[start:end]:
            by_symbol.setdefault(symbol, []).append(record)
        following = json.dumps(base64.b64encode(str(end).encode()).decode())
        body = ",".join(f"{json.dumps(s)}:[{','.join(r)}]" for s, r in by_symbol.items())
        after = following if end < len(rows) else "null"
        return f'{{"{kind}":{{{body}}},"next_page_token":{after}}}'

    def publish(self, path: str, message: dict[str, Any]) -> None:
        """Something happens: history has it from now on, and who listens hears it."""
        kept = {k: v for k, v in message.items() if k not in ("T", "S")}
        if message["T"] in LETTERS.values():
            self.history.setdefault((path, message["S"]), []).append(json.dumps(kept))
        self.say([message])

    def say(self, messages: Sequence[dict[str, Any]]) -> None:
        """Send messages to whoever subscribed to them."""
        asyncio.run_coroutine_threadsafe(self._say(messages), self.loop).result(10)

    async def _say(self, messages: Sequence[dict[str, Any]]) -> None:
        for connection, wanted in list(self.subscribed.items()):
            heard = [_packed(m) for m in messages if m.get("S") in _symbols(wanted, m["T"])]
            if heard:
                with suppress(ConnectionClosed):  # who was killed hears nothing
                    await connection.send(msgpack.packb(heard))

    def error(self, code: int, message: str) -> None:
        """Send an error to everybody and hang up."""
        asyncio.run_coroutine_threadsafe(self._error(code, message), self.loop).result(10)

    async def _error(self, code: int, message: str) -> None:
        for connection in list(self.connections):
            await connection.send(msgpack.packb([{"T": "error", "code": code, "msg": message}]))
            await connection.close()

    def drop(self) -> None:
        """Cut every connection without a word."""

        async def cut() -> None:
            for connection in list(self.connections):
                connection.transport.abort()
            self.subscribed.clear()

        asyncio.run_coroutine_threadsafe(cut(), self.loop).result(10)

    async def serve_stream(self, connection: ServerConnection) -> None:
        """One connection, from the welcome on."""
        self.connections.append(connection)
        try:
            await connection.send(msgpack.packb([{"T": "success", "msg": "connected"}]))
            given = msgpack.unpackb(await connection.recv())
            error = self.refuse
            if (given.get("key"), given.get("secret")) != (KEY, SECRET):
                error = (402, "auth failed")
            if error:
                await connection.send(
                    msgpack.packb([{"T": "error", "code": error[0], "msg": error[1]}])
                )
                return
            await connection.send(msgpack.packb([{"T": "success", "msg": "authenticated"}]))
            async for message in connection:
                wanted = msgpack.unpackb(message)
                assert wanted.pop("action") == "subscribe"
                self.subscribed[connection] = wanted
                self.connected += 1
                await connection.send(msgpack.packb([{"T": "subscription", **wanted}]))
        except ConnectionClosed:
            pass
        finally:
            self.subscribed.pop(connection, None)
            self.connections.remove(connection)


def _symbols(wanted: dict[str, list[str]], letter: str) -> list[str]:
    kind = {"t": "trades", "c": "trades", "x": "trades", "q": "quotes", "b": "bars"}[letter]
    return wanted.get(kind, [])


def _packed(message: dict[str, Any]) -> dict[str, Any]:
    """MessagePack has a type for times: seconds and nanoseconds."""
    ns = ns_of(message["t"])
    return {**message, "t": msgpack.Timestamp(ns // 10**9, ns % 10**9)}


def _handler(alpaca: Alpaca) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            alpaca.asked.append((parts.path, query))
            instead = alpaca.instead.popleft() if alpaca.instead else None
            if instead is not None and not instead.status:
                self.close_connection = True
                return
            if instead is not None:
                self._send(instead.status, instead.body, instead.headers)
            elif (self.headers["APCA-API-KEY-ID"], self.headers["APCA-API-SECRET-KEY"]) != (
                KEY,
                SECRET,
            ):
                self._send(403, '{"message":"forbidden."}')
            else:
                left = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "150"}
                self._send(200, alpaca.answer(parts.path, query), left)

        def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
            content = body.encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing to say."""

    return Handler


@contextmanager
def alpaca_server() -> Iterator[Alpaca]:
    """A vendor of one's own."""
    alpaca = Alpaca()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(alpaca))
    alpaca.url = f"http://127.0.0.1:{http.server_port}"
    started = threading.Event()
    stopped = asyncio.Event()

    async def stream() -> None:
        async with serve(alpaca.serve_stream, "127.0.0.1", 0) as server:
            alpaca.stream_url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()
            await stopped.wait()

    def run() -> None:
        asyncio.set_event_loop(alpaca.loop)
        alpaca.loop.run_until_complete(stream())

    threads = [
        threading.Thread(target=http.serve_forever, daemon=True),
        threading.Thread(target=run, daemon=True),
    ]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    try:
        yield alpaca
    finally:
        http.shutdown()
        http.server_close()
        alpaca.loop.call_soon_threadsafe(stopped.set)
        threads[1].join(10)
