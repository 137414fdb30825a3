"""Alpaca's records as records of the contracts, number for number as they were written.

Alpaca writes an object of one-letter keys (t time, p price, s size, x exchange, i id, c conditions;
o h l c v n vw for a bar). History and stream use the same letters, so one translation serves both
and a print that comes by both ways is the same record. Numbers are moved as raw text and never
become floats here. Keys that are not known are left out: Alpaca adds some now and then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Literal, cast

import msgspec
from msgspec import Raw

Kind = Literal["trades", "quotes", "bars"]
Asset = Literal["stocks", "crypto"]
Fields = dict[str, Raw]

KINDS: tuple[Kind, ...] = ("trades", "quotes", "bars")
# Width of a bar as the contract names it -> as Alpaca does.
TIMEFRAMES = {"1m": "1Min", "5m": "5Min", "1h": "1Hour", "1d": "1Day"}
VWAP_STEP = Decimal("1e-9")  # the contract's last decimal

_STATUS = {"canceled": "CANCEL", "incorrect": "CANCEL", "corrected": "CORRECT"}
_OBJECT = msgspec.json.Decoder(Fields)
_TEXTS = msgspec.json.Decoder(list[str])
_ENCODE = msgspec.json.Encoder()
_NULL = Raw(b"null")


@dataclass(frozen=True)
class Market:
    """One of Alpaca's feeds. `name` is iex or sip for stocks, us for crypto."""

    asset: Asset
    name: str

    @property
    def source(self) -> str:
        """What rows carry as their source, from history and stream alike: ids are its own."""
        return f"alpaca_{self.asset}_{self.name}"

    @property
    def prefix(self) -> str:
        """How the names of its units begin."""
        return f"alpaca:{self.asset}/{self.name}"

    @property
    def dealer(self) -> str:
        """Whose quotes it carries: one exchange's, the consolidated best, or Alpaca's own."""
        return {"iex": "IEX", "sip": "NBBO"}.get(self.name, "ALPACA")

    @property
    def venue(self) -> str | None:
        """The one exchange of a feed that has only one, by its tape letter."""
        return "V" if self.name == "iex" else None


def with_symbol(symbol: str, record: bytes) -> bytes:
    """A record of history, which has no symbol of its own, with it: as the stream writes it."""
    if not record.startswith(b"{"):
        return record
    rest = record[1:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"S":' + _ENCODE.encode(symbol) + comma + rest


def wire_of(market: Market, kind: Kind, record: bytes, interval: str = "1m") -> bytes:
    """The record as JSON of the contract `kind`; what is missing in it stays missing.

    What is no JSON object is given back as it is: the decoder will say what is wrong with it.
    """
    try:
        fields = _OBJECT.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return record
    if kind == "trades":
        made = _trade(market, fields)
    elif kind == "quotes":
        made = _quote(market, fields)
    else:
        made = _bar(market, fields, interval)
    return _ENCODE.encode({name: value for name, value in made.items() if value is not None})


def rewire(unit: str) -> Callable[[bytes], bytes]:
    """What wire_of was for the rows of a unit, by the unit's name: alpaca:stocks/iex/bars.1m/..."""
    asset, feed, what, *_ = unit.removeprefix("alpaca:").split("/")
    kind, _, interval = what.partition(".")
    market = Market(cast(Asset, asset), feed)
    return lambda record: wire_of(market, cast(Kind, kind), record, interval)


def _trade(market: Market, fields: Fields) -> dict[str, Any]:
    corrected = _text(fields.get("T")) == "c"
    new = {"i": "ci", "p": "cp", "s": "cs", "c": "cc"} if corrected else {}
    trade_id = _as_text(fields.get(new.get("i", "i")))
    status = _status_of(fields, corrected)
    return {
        "tradeId": trade_id,
        "instrumentId": fields.get("S"),
        "venue": fields.get("x"),
        "price": fields.get(new.get("p", "p")),
        "quantity": fields.get(new.get("s", "s")),
        "timestamp": fields.get("t"),
        "buySellIndicator": fields.get("tks", _NULL) if market.asset == "crypto" else _NULL,
        "conditions": _conditions(fields.get(new.get("c", "c"))),
        "status": status,
        "refTradeId": _as_text(fields.get("oi")) if corrected else _cancelled(status, trade_id),
    }


def _status_of(fields: Fields, corrected: bool) -> str | None:
    """NEW is left out. History marks what became of a trade in `u`, the stream says it in `T`."""
    if corrected:
        return "CORRECT"
    if _text(fields.get("T")) == "x":
        return "CANCEL"
    update = _text(fields.get("u"))
    return _STATUS.get(update, update) if update else None


def _cancelled(status: str | None, trade_id: Raw | None) -> Raw | None:
    return trade_id if status == "CANCEL" else None


def _quote(market: Market, fields: Fields) -> dict[str, Any]:
    return {
        "instrumentId": fields.get("S"),
        "dealerId": market.dealer,
        "venue": market.venue,
        "bidPrice": fields.get("bp", _NULL),
        "offerPrice": fields.get("ap", _NULL),
        "bidSize": fields.get("bs", _NULL),
        "offerSize": fields.get("as", _NULL),
        "timestamp": fields.get("t"),
    }


def _bar(market: Market, fields: Fields, interval: str) -> dict[str, Any]:
    return {
        "symbol": fields.get("S"),
        "exchange": market.venue,
        "interval": interval,
        "window_start": fields.get("t"),
        "open": fields.get("o"),
        "high": fields.get("h"),
        "low": fields.get("l"),
        "close": fields.get("c"),
        "volume": fields.get("v"),
        "vwap": _vwap(fields.get("vw"), fields.get("n")),
        "trade_count": fields.get("n"),
    }


def _vwap(value: Raw | None, trades: Raw | None) -> Raw | None:
    """The average to the contract's nine decimals, half to even; none where nothing traded.

    It is a quotient that Alpaca computed as a float, with up to 17 digits: the one number here
    that is rounded. Prices and sizes are taken whole or rejected.
    """
    if value is None:
        return None
    try:
        number = Decimal(bytes(value).decode())
        if number.is_zero() and trades is not None and bytes(trades) == b"0":
            return None
        step = number.quantize(VWAP_STEP, ROUND_HALF_EVEN)
    except (InvalidOperation, UnicodeDecodeError):
        return value
    return value if number == step else Raw(f"{step:f}".encode())


def _conditions(value: Raw | None) -> Any:
    """Codes joined by commas; a single space is a code, so none is stripped."""
    if value is None:
        return None
    try:
        return ",".join(_TEXTS.decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return value


def _as_text(value: Raw | None) -> Raw | None:
    """An id as text: Alpaca's are whole numbers. Anything else stays what it is."""
    text = bytes(value) if value is not None else b""
    return Raw(b'"' + text + b'"') if text.isdigit() else value


def _text(value: Raw | None) -> str | None:
    if value is None or not bytes(value).startswith(b'"'):
        return None
    return msgspec.json.decode(value, type=str)


def record_of(message: dict[str, Any]) -> bytes:
    """A message of the stream, MessagePack as alpaca-py unpacks it, as JSON.

    A float becomes the shortest decimal that names it, which is what Alpaca's JSON has for it; a
    time keeps its nanoseconds.
    """
    return msgspec.json.encode(message, enc_hook=_moment)


def _moment(value: Any) -> str:
    """A msgpack.Timestamp as RFC 3339 with nanoseconds."""
    whole = datetime.fromtimestamp(value.seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{value.nanoseconds:09}Z"


def iso(ns: int) -> str:
    """Ns since epoch UTC as RFC 3339 with nanoseconds."""
    whole = datetime.fromtimestamp(ns // 10**9, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09}Z"
