"""Alpaca's history, page by page: alpaca-py's client, with our pace, patience and exact numbers."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import requests
from alpaca.common.rest import RESTClient
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from msgspec import Raw

from ingestion.sources.alpaca_wire import Kind, Market, with_symbol
from ingestion.sources.vendor import LONGEST_MESSAGE, Later, VendorRefused, patiently
from lake.settings import Settings

PAGE_ROWS = 10_000  # the most that Alpaca gives at once
MINUTE_S = 60.0
TOO_MANY = 429
_LATER = {408, TOO_MANY, 500, 502, 503, 504}
_REMEDY = {
    400: "look at the symbols and the days that were asked for",
    401: "set TICKLAKE_ALPACA_KEY and TICKLAKE_ALPACA_SECRET to a valid pair",
    403: "the key is wrong or its plan does not cover this feed: check TICKLAKE_ALPACA_KEY and "
    "TICKLAKE_ALPACA_SECRET, or set TICKLAKE_ALPACA_FEED=iex",
    404: "check TICKLAKE_ALPACA_URL",
    422: "look at the symbols and the days that were asked for",
}
_PAGE = msgspec.json.Decoder(dict[str, Raw])
_BY_SYMBOL = msgspec.json.Decoder(dict[str, list[Raw] | None] | None)
_TOKEN = msgspec.json.Decoder(str | None)


@dataclass(frozen=True)
class Page:
    """One answer: its records with their symbols in them, and whether it is the last."""

    records: list[bytes]
    is_last: bool


class Pace:
    """At most so many requests a minute, and none while the vendor says that none is left."""

    def __init__(self, per_minute: int) -> None:
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._resume = 0.0

    def wait(self) -> None:
        """Sleep until a request may be sent, and count it."""
        oldest = self._sent[0] + MINUTE_S if len(self._sent) == self._sent.maxlen else 0.0
        time.sleep(max(0.0, max(oldest, self._resume) - time.monotonic()))
        self._sent.append(time.monotonic())

    def hear(self, headers: requests.structures.CaseInsensitiveDict[str]) -> None:
        """Take note of X-RateLimit-Remaining and X-RateLimit-Reset (s since epoch)."""
        if headers.get("X-RateLimit-Remaining") == "0":
            self._resume = time.monotonic() + _reset_s(headers)


def _reset_s(headers: requests.structures.CaseInsensitiveDict[str]) -> float:
    """Seconds until Alpaca takes requests again, as far as it says so; a minute at most."""
    for name, since in (("Retry-After", 0.0), ("X-RateLimit-Reset", time.time())):
        try:
            return min(max(float(headers[name]) - since, 0.0), MINUTE_S)
        except (KeyError, ValueError):
            continue
    return 0.0


class _Exact(RESTClient):
    """alpaca-py's client, but for what one request gives: bytes, since its floats lose digits.

    It raises Later where asking again may help and VendorRefused where not; alpaca-py itself knows
    no header and only a fixed pause.
    """

    pace: Pace
    timeout_s: float

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:  # noqa: ARG002 (alpaca-py's signature)
        self.pace.wait()
        try:
            answer = self._session.request(method, url, timeout=self.timeout_s, **opts)
        except requests.RequestException as error:
            raise Later(f"{url} does not answer: {type(error).__name__}") from error
        self.pace.hear(answer.headers)
        status = answer.status_code
        said = f"{url} answers {status}: {answer.text[:LONGEST_MESSAGE]}"
        if status in _LATER:
            raise Later(said, _reset_s(answer.headers))
        if status != requests.codes.ok:
            raise VendorRefused(f"{said}. Remedy: {_REMEDY.get(status, 'none is known')}")
        return answer.content


class _Stocks(_Exact, StockHistoricalDataClient):
    """Stocks."""


class _Crypto(_Exact, CryptoHistoricalDataClient):
    """Crypto."""


class History:
    """Alpaca's history of one feed."""

    def __init__(self, market: Market, settings: Settings) -> None:
        """Raises VendorRefused where the keys are not set."""
        key, secret = keys(settings)
        made = _Stocks if market.asset == "stocks" else _Crypto
        self.market = market
        self.settings = settings
        self._client: _Exact = made(
            key, secret, raw_data=True, url_override=settings.alpaca_url.rstrip("/")
        )
        self._client.pace = Pace(settings.alpaca_rate)
        self._client.timeout_s = settings.vendor_timeout_s

    def pages(self, kind: Kind, symbols: list[str], limit: int, **asked: str) -> Iterator[Page]:
        """Pages of a kind in Alpaca's order: by symbol, then by time. There is always a last one.

        `asked` are the API's own parameters (start, end, timeframe, asof ...); both ends of a
        range are part of it. Raises VendorRefused and VendorAway.
        """
        market = self.market
        if market.asset == "stocks":
            path, feed = f"/stocks/{kind}", {"feed": market.name}
        else:
            path, feed = f"/crypto/{market.name}/{kind}", {}
        given = {"symbols": ",".join(symbols), "limit": min(limit, PAGE_ROWS), "sort": "asc"}
        token: str | None = None
        while True:
            query = {**given, **feed, **asked, **({"page_token": token} if token else {})}
            page, token = patiently(self.settings, lambda query=query: self._page(path, query))  # type: ignore[misc]
            yield Page(page, token is None)
            if token is None:
                return

    def _page(self, path: str, query: dict[str, Any]) -> tuple[list[bytes], str | None]:
        answer = cast(bytes, self._client.get(path, query))
        kind = path.rpartition("/")[2]
        try:
            fields = _PAGE.decode(answer)
            by_symbol = _BY_SYMBOL.decode(fields[kind]) or {}
            token = _TOKEN.decode(fields.get("next_page_token", Raw(b"null")))
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise Later(f"{path}: the answer is no page of {kind}: {error}") from error
        records = [
            with_symbol(symbol, bytes(record))
            for symbol, rows in by_symbol.items()
            for record in rows or []
        ]
        return records, token or None


def keys(settings: Settings) -> tuple[str, str]:
    """Key and secret. Raises VendorRefused where one is missing."""
    key, secret = settings.alpaca_key, settings.alpaca_secret
    if not key or not secret or not key.get_secret_value() or not secret.get_secret_value():
        raise VendorRefused(
            "Alpaca wants a key: set TICKLAKE_ALPACA_KEY and TICKLAKE_ALPACA_SECRET (a paper "
            "account, which is free, has a pair)"
        )
    return key.get_secret_value(), secret.get_secret_value()
