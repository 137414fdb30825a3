"""All connections of a listener: who is let in, which thread lands what, and how it all stops."""

import asyncio
import threading

import structlog
from fastapi import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from contracts.base import Contract
from ingestion.land import land_batch
from ingestion.listen.connection import STOPPING, Connection, Gone, next_message
from ingestion.listen.limits import Bucket, Room
from ingestion.listen.protocol import (
    GOING,
    INTERNAL,
    POLICY,
    TAKEN_OVER,
    Refusal,
    read_hello,
)
from ingestion.listen.source import ClientWriter, WebSocketSource
from ingestion.listen.tokens import Tokens, bearer
from lake.durable import fault_point
from lake.layout import layout
from lake.settings import Settings

GREETING_SECONDS = 10.0
TELLING_SECONDS = 5.0  # for a client that does not read what it is told
STOP_SECONDS = 40.0

log = structlog.get_logger()


class Lane:
    """One dataset's way into bronze: its buffer, its source, and the thread that lands."""

    def __init__(
        self, contract: Contract, settings: Settings, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.contract = contract
        self.settings = settings
        self.buffer = Room(settings.listen_buffer_bytes)
        self.source = WebSocketSource(
            contract, settings, loop.call_soon_threadsafe, self.buffer.give
        )
        self.failing = False
        self._thread = threading.Thread(target=self._land, name=contract.dataset, daemon=True)
        self._thread.start()

    async def stopped(self) -> None:
        """Take nothing more, and return when what was taken has landed."""
        self.source.stop()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _land(self) -> None:
        """Land until stopped. After a failure only the table knows where everybody stands."""
        while True:
            try:
                self._land_all(ClientWriter(self.contract, layout(self.settings)))
                return
            except Exception as error:
                self.failing = True
                log.error("not landed", dataset=self.contract.dataset, error=repr(error))
                self.source.fail(
                    f"{self.contract.dataset}: the listener could not land; connect again, and "
                    "send again from the number that the welcome says"
                )
            if not self.source.wait():
                return

    def _land_all(self, writer: ClientWriter) -> None:
        """Batch by batch: the thread waits for frames, so nothing may be under way meanwhile."""
        self.source.writer = writer
        for batch in self.source.batches(writer.next_position):
            fault_point("land.consumed")
            land_batch(writer, batch)
            self.source.acknowledge(batch)
            fault_point("land.acknowledged")
            self.failing = False


class Hub:
    """The connections of one listener."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.settings = settings
        self.tokens = tokens
        self.lanes: dict[str, Lane] = {}
        self.connections: dict[str, Connection] = {}
        self.open = 0
        self.stopping = False
        self._buckets: dict[str, Bucket] = {}

    def health(self) -> dict[str, object]:
        """What anybody may know."""
        failing = sorted(name for name, lane in self.lanes.items() if lane.failing)
        status = STOPPING if self.stopping else "failing" if failing else "ok"
        waiting = sum(connection.waiting for connection in self.connections.values())
        return {
            "status": status,
            "connections": self.open,
            "waiting": waiting,
            "failing": failing,
        }

    async def serve(self, socket: WebSocket) -> None:
        """Hold one connection's conversation, from the door to the close."""
        header = bearer(socket.headers.get("authorization"))
        client = None if header is None else self.tokens.name_of(header)
        if header is not None and client is None:
            await self._turn_away(socket, 401, "this token is nobody's")
        elif self.stopping:
            await self._turn_away(socket, 503, "the listener is stopping; connect again later")
        elif self.open >= self.settings.listen_connections:
            await self._turn_away(socket, 503, "too many connections; connect again later")
        else:
            await self._let_in(socket, client)

    async def stop(self) -> None:
        """Take nothing more; land, acknowledge and close."""
        self.stopping = True
        for connection in list(self.connections.values()):
            connection.end(Refusal(GOING, STOPPING, "the listener stops; connect again later"))
        await asyncio.gather(*(lane.stopped() for lane in self.lanes.values()))
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)

    async def _let_in(self, socket: WebSocket, client: str | None) -> None:
        self.open += 1
        try:
            await socket.accept()
            await self._converse(socket, client)
        except Refusal as refusal:
            log.info("closed", client=client, why=refusal.word, code=refusal.code)
            await _tell(socket, refusal)
        except (Gone, WebSocketDisconnect):
            pass
        except Exception:
            log.exception("broken", client=client)
            await _tell(socket, Refusal(INTERNAL, "internal", "a fault of the listener's own"))
        finally:
            self.open -= 1

    async def _converse(self, socket: WebSocket, client: str | None) -> None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                greeting = await next_message(socket)
        except TimeoutError:
            raise Refusal(
                POLICY, "greeting", f"no greeting within {GREETING_SECONDS:g} s"
            ) from None
        contract, token = read_hello(greeting)
        if token is not None:
            client = self.tokens.name_of(token)
        if client is None:
            _log_turned_away(socket, "token")
            raise Refusal(POLICY, "token", "no token, or one that is nobody's")
        connection = self._connection(socket, client, contract)
        try:
            await connection.run()
        finally:
            if self.connections.get(connection.unit) is connection:
                del self.connections[connection.unit]

    def _connection(self, socket: WebSocket, client: str, contract: Contract) -> Connection:
        """A new connection; one that the client has for the dataset already is ended.

        Taking over rather than refusing: a client whose network broke need not wait until we
        notice that its old connection is dead.
        """
        lane = self.lanes.get(contract.dataset)
        if lane is None:
            lane = Lane(contract, self.settings, asyncio.get_running_loop())
            self.lanes[contract.dataset] = lane
        bucket = self._buckets.setdefault(client, Bucket(self.settings.listen_rate))
        connection = Connection(socket, client, lane.source, self.settings, lane.buffer, bucket)
        before = self.connections.get(connection.unit)
        if before is not None:
            before.end(
                Refusal(
                    TAKEN_OVER,
                    "taken over",
                    f"another connection sends {connection.unit} now; do not connect again while "
                    "it does",
                )
            )
        self.connections[connection.unit] = connection
        return connection

    async def _turn_away(self, socket: WebSocket, status: int, why: str) -> None:
        _log_turned_away(socket, why)
        await socket.send_denial_response(Response(why + "\n", status, media_type="text/plain"))


def _log_turned_away(socket: WebSocket, why: str) -> None:
    log.warning("turned away", peer=socket.client.host if socket.client else None, why=why)


async def _tell(socket: WebSocket, refusal: Refusal) -> None:
    """Say why, and close; a client that has gone or does not read is not waited for."""
    try:
        async with asyncio.timeout(TELLING_SECONDS):
            await socket.send_text(refusal.text())
            await socket.close(refusal.code, refusal.word)
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        pass
