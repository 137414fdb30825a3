"""The listener's process: FastAPI on uvicorn, stopped so that nothing accepted goes untold."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import JSONResponse

from ingestion.check import refuse_if_disabled
from ingestion.listen.connection import HEAD_ROOM
from ingestion.listen.hub import Hub
from ingestion.listen.tokens import read_tokens
from lake.layout import layout
from lake.locks import held
from lake.settings import Settings

PATH = "/ws/market-data"
SEND_BUFFER_BYTES = 131_072
CLOSING_SECONDS = 2.0  # for the clients to answer our closing

log = structlog.get_logger()


class CannotListen(RuntimeError):
    """The address cannot be had; the message says which setting names it."""


def listen(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the address once clients may connect.

    One listener a lake: raises Busy when another has it, NoTokens, CannotListen or
    ContractsDisabled before anything is opened.
    """
    refuse_if_disabled()
    tokens = read_tokens(settings.listen_tokens)
    with held(layout(settings).lock("listen")), _bound(settings) as bound:
        host, port = bound.getsockname()[:2]
        url = f"ws://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
        hub = Hub(settings, tokens)
        log.info("listening", url=url, clients=sorted({name for name, _ in tokens.pairs}))
        if ready:
            ready(url)
        Server(_config(settings, application(hub)), hub).run(sockets=[bound])
    log.info("stopped")


def application(hub: Hub) -> FastAPI:
    """The two addresses there are."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.websocket(PATH)
    async def market_data(connection: WebSocket) -> None:
        await hub.serve(connection)

    @app.get("/health")
    async def health() -> JSONResponse:
        found = hub.health()
        return JSONResponse(found, 200 if found["status"] == "ok" else 503)

    return app


class Server(uvicorn.Server):
    """uvicorn, which at a signal would close connections before what they sent is durable."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops in peace and is not raised again; a second one ends it now."""
        if self.should_exit:
            signal.default_int_handler(sig, frame)
        log.info("stopping", signal=signal.Signals(sig).name)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, land and acknowledge what was taken, close, and only then end."""
        for server in self.servers:
            server.close()
        await self._hub.stop()
        deadline = asyncio.get_running_loop().time() + CLOSING_SECONDS
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def _config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="websockets-sansio",
        # Up to here a message that is too long is told so; beyond, the connection just closes.
        ws_max_size=2 * settings.max_record_bytes + HEAD_ROOM,
        ws_per_message_deflate=False,  # costs more time than it saves, and memory a connection
        # Pongs are not read while a full buffer holds a socket back: leave time for a slow disk.
        ws_ping_interval=20.0,
        ws_ping_timeout=60.0,
    )


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.listen_host, settings.listen_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise CannotListen(
            f"cannot listen at {host} port {port}: {error.strerror}; set TICKLAKE_LISTEN_HOST "
            "or TICKLAKE_LISTEN_PORT"
        ) from error
    # Connections inherit it: what a client does not read must not pile up in the kernel either.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return bound
