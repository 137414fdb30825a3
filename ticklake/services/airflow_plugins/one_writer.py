"""An Airflow plugin: the api-server carries out one modifying request at a time.

Airflow writes its audit entry on the server's event loop. With SQLite that write waits for the
lock of another request, whose own commit waits for the event loop: both stand until the wait
times out, and the request fails with "database is locked". One at a time they never meet; other
processes hold the lock for milliseconds and need no loop of ours to let it go. PostgreSQL has
many writers: there the plugin stands aside.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

READING = {"GET", "HEAD", "OPTIONS"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class OneWriter:
    """ASGI middleware: reads pass freely, the rest queue in the order they came."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. It is over when its transaction is, not when its answer is sent."""
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        async with self._turn:
            await self._app(scope, receive, send)


def _middlewares() -> list[dict[str, Any]]:
    if not conf.get_mandatory_value("database", "sql_alchemy_conn").startswith("sqlite"):
        return []
    return [{"name": "one writer at a time", "middleware": OneWriter, "args": [], "kwargs": {}}]


class OneWriterPlugin(AirflowPlugin):
    """Puts the middleware around everything the api-server serves, where SQLite is behind it."""

    name = "one_writer"
    fastapi_root_middlewares = _middlewares()
