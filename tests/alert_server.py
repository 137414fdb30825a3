"""Where notes are posted to in tests: a real HTTP server that keeps what it is sent."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/hooks/T0/s3cret"


@dataclass
class AlertServer:
    """The bodies that came, in order, and the address that they came to."""

    address: str
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def texts(self) -> str:
        """All notes, one below the other."""
        return "\n".join(body["text"] for body in self.bodies)


@contextmanager
def alert_server(answers: Sequence[int] = (), slow_s: float = 0.0) -> Iterator[AlertServer]:
    """A server that gives these answers, then 200 for ever; each after `slow_s` seconds."""
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == PATH:
                found.bodies.append(body)
            time.sleep(slow_s)
            self.send_response(waiting.pop(0) if waiting else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = AlertServer(f"http://127.0.0.1:{server.server_port}{PATH}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()
