"""Reddit as its documentation describes it, on 127.0.0.1: tokens, and the newest posts by pages.

Nothing of the project takes part.
"""

import base64
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIENT_ID, CLIENT_SECRET = "client-of-the-desk", "s3cr3t-of-reddit"
REACH = 1_000  # how far back a listing goes


@dataclass
class Answer:
    """An answer in the place of the right one; with no status, none at all."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message":"out of order"}'


class Reddit:
    """The site: its subreddits with their posts, the oldest first."""

    def __init__(self) -> None:
        self.posts: dict[str, list[dict[str, Any]]] = {}
        self.private: set[str] = set()
        self.instead: deque[Answer | None] = deque()  # answers to the next listings; None: right
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.agents: set[str] = set()
        self.tokens: list[str] = []
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Settings that lead here."""
        return {
            "TICKLAKE_REDDIT_CLIENT_ID": CLIENT_ID,
            "TICKLAKE_REDDIT_CLIENT_SECRET": CLIENT_SECRET,
            "TICKLAKE_REDDIT_URL": self.url,
            "TICKLAKE_REDDIT_OAUTH_URL": self.url,
        }

    def post(self, subreddit: str, **fields: Any) -> dict[str, Any]:
        """A post is made, with Reddit's own fields over those given."""
        posts = self.posts.setdefault(subreddit, [])
        number = sum(map(len, self.posts.values())) + 10**9
        made = {
            "name": f"t3_{_base36(number)}",
            "id": _base36(number),
            "subreddit": subreddit,
            "title": f"post {number}",
            "selftext": "",
            "author": f"user_{number % 7}",
            "score": number % 50 - 5,
            "num_comments": 0,
            "created_utc": 1_759_400_000.0 + len(posts),
            "over_18": False,
            **fields,
        }
        posts.append(made)
        return made

    def expire(self) -> None:
        """No token is valid any more."""
        self.tokens.clear()

    def listing(self, subreddit: str, query: dict[str, str]) -> str:
        """A page of the newest posts, the newest first."""
        posts = sorted(self.posts[subreddit], key=lambda p: -p["created_utc"])[:REACH]
        names = [post["name"] for post in posts]
        start = names.index(query["after"]) + 1 if "after" in query else 0
        page = posts[start : start + min(int(query.get("limit", 25)), 100)]
        more = start + len(page) < len(posts)
        data = {
            "after": page[-1]["name"] if page and more else None,
            "before": None,
            "dist": len(page),
            "modhash": "",
            "children": [{"kind": "t3", "data": post} for post in page],
        }
        return json.dumps({"kind": "Listing", "data": data})


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text


def _handler(site: Reddit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers["Content-Length"])).decode()
            basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if self.path != "/api/v1/access_token" or "client_credentials" not in given:
                self._send(400, '{"error":"unsupported_grant_type"}')
            elif self.headers["Authorization"] != f"Basic {basic}":
                self._send(401, '{"message":"Unauthorized","error":401}')
            else:
                site.tokens.append(f"token-{len(site.tokens)}-{len(site.asked)}")
                token = {"access_token": site.tokens[-1], "token_type": "bearer"}
                self._send(200, json.dumps({**token, "expires_in": 3600, "scope": "*"}))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            subreddit = parts.path.split("/")[2]
            site.asked.append((subreddit, query))
            site.agents.add(self.headers["User-Agent"])
            instead = site.instead.popleft() if site.instead else None
            if instead is not None and not instead.status:
                self.close_connection = True
            elif instead is not None:
                self._send(instead.status, instead.body, instead.headers)
            elif self.headers["Authorization"].removeprefix("bearer ") not in site.tokens:
                self._send(401, '{"message":"Unauthorized","error":401}')
            elif subreddit in site.private:
                self._send(403, '{"reason":"private","message":"Forbidden","error":403}')
            elif subreddit not in site.posts:
                self._send(404, '{"message":"Not Found","error":404}')
            else:
                self._send(200, site.listing(subreddit, query))

        def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
            content = body.encode()
            self.send_response(status)
            limits = {
                "X-Ratelimit-Remaining": "990.0",
                "X-Ratelimit-Used": "10",
                "X-Ratelimit-Reset": "590",
            }
            length = {"Content-Length": str(len(content))}
            kept = {"Connection": self.headers.get("Connection", "keep-alive")}
            for name, value in {**limits, **(headers or {}), **length, **kept}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing to say."""

    return Handler


@contextmanager
def reddit_server() -> Iterator[Reddit]:
    """A site of one's own."""
    site = Reddit()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        http.shutdown()
        http.server_close()
