"""Truth about single records: verdict, reject code and values, in plain Python from the spec.

Nothing here may import the project, DuckDB, polars or dbt: what agrees with this agrees with the
definitions (analytics.md), not with itself. Sections in brackets are sections of that document.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

SECOND = 1_000_000_000
FIRST_NS = 631_152_000 * SECOND  # 1990-01-01T00:00:00Z
SKEW_NS = 5 * SECOND
MAX_BYTES = 262_144
MAX_NOTIONAL = 10**18  # sums of price x quantity must fit decimal(38, 12)
EXACT = Context(prec=2_000)

# Wire name -> (canonical name, kind). A `!` means: never absent, null or empty; a `*` means: the
# key must be there, though a source without the fact may say null.
WIRE = {
    "trades": {
        "tradeId": ("trade_id", "text*"),
        "instrumentId": ("instrument_id", "text!"),
        "price": ("price", "price!"),
        "quantity": ("quantity", "size!"),
        "timestamp": ("event_ts_ns", "time!"),
        "buySellIndicator": ("side", "text*"),
        "venue": ("venue", "text"),
        "trader": ("trader_id", "text"),
        "sequence": ("sequence", "integer"),
        "conditions": ("conditions", "text"),
        "suspicious": ("is_suspicious", "boolean"),
        "status": ("status", "text"),
        "refTradeId": ("ref_trade_id", "text"),
        "version": ("version", "integer"),
    },
    "quotes": {
        "instrumentId": ("instrument_id", "text!"),
        "dealerId": ("dealer_id", "text!"),
        "venue": ("venue", "text"),
        "bidPrice": ("bid_price", "price"),
        "offerPrice": ("offer_price", "price"),
        "bidSize": ("bid_size", "size"),
        "offerSize": ("offer_size", "size"),
        "timestamp": ("event_ts_ns", "time!"),
        "sequence": ("sequence", "integer"),
        "quoteType": ("quote_type", "text"),
        "side": ("side", "text"),
        "action": ("action", "text"),
        "price": ("price", "price"),
        "size": ("size", "size"),
        "level": ("level", "integer"),
    },
    "securities": {
        "instrumentId": ("instrument_id", "text!"),
        "securityName": ("security_name", "text!"),
        "cusip": ("cusip", "text*"),
        "isin": ("isin", "text*"),
        "marketSegment": ("market_segment", "text*"),
        "issuer": ("issuer", "text*"),
        "asOf": ("event_ts_ns", "time"),
        "currency": ("currency", "text"),
        "tickSize": ("tick_size", "price"),
        "priceMultiplier": ("price_multiplier", "price"),
    },
}
DIGITS = {"price": (9, 9), "size": (20, 8)}  # digits before and after the point [0.3]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?|[+-]?(nan|inf|infinity)", re.I | re.A)


class RefusalError(Exception):
    """A record breaks a hard rule; the argument is its reject code."""


@dataclass(frozen=True)
class Delivered:
    """One record as it came in."""

    unit: str
    position: int
    recv_ts_ns: int
    raw: bytes
    source: str = ""
    delivery_unit: str | None = None


@dataclass(frozen=True)
class Row:
    """A record that kept the contract. `order` decides which of several duplicates survives."""

    unit: str
    position: int
    recv_ts_ns: int
    source: str
    delivery_unit: str | None
    values: dict[str, Any]

    @property
    def order(self) -> tuple[int, str, int]:
        return (self.recv_ts_ns, self.unit, self.position)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)


@dataclass(frozen=True)
class Verdict:
    """What must become of a record: a row, or a reject code."""

    delivered: Delivered
    code: str | None
    row: Row | None


def judge(dataset: str, delivered: Delivered) -> Verdict:
    """Verdict of one JSON record that breaks at most one rule."""
    try:
        values = _read(WIRE[dataset], delivered.raw)
        if dataset == "securities" and values["event_ts_ns"] is None:
            values["event_ts_ns"] = delivered.recv_ts_ns
        _rules(dataset, values, delivered.recv_ts_ns)
    except RefusalError as refusal:
        return Verdict(delivered, str(refusal), None)
    row = Row(
        delivered.unit,
        delivered.position,
        delivered.recv_ts_ns,
        delivered.source,
        delivered.delivery_unit,
        values,
    )
    return Verdict(delivered, None, row)


def kept(verdicts: Iterable[Verdict]) -> list[Row]:
    """The rows among verdicts."""
    return [verdict.row for verdict in verdicts if verdict.row is not None]


def _read(wire: dict[str, tuple[str, str]], raw: bytes) -> dict[str, Any]:
    record = _parse(raw)
    if not record.keys() <= wire.keys():
        raise RefusalError("SCHEMA_TYPE")
    values = {}
    for key, (name, kind) in wire.items():
        if key not in record and kind[-1] in "!*":
            raise RefusalError("SCHEMA_MISSING_FIELD")
        value = record.get(key)
        values[name] = None if value is None else _KIND[kind.rstrip("!*")](value)
        if values[name] is None and kind.endswith("!"):
            raise RefusalError("SCHEMA_MISSING_FIELD")
    return values


def _parse(raw: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise RefusalError("PARSE_ERROR")
        return dict(pairs)

    def non_finite(_: str) -> None:
        raise RefusalError("NON_FINITE")

    if len(raw) > MAX_BYTES:
        raise RefusalError("PARSE_ERROR")
    try:
        record = json.loads(
            raw.decode(),
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=non_finite,
            object_pairs_hook=once,
        )
    except (ValueError, RecursionError):
        raise RefusalError("PARSE_ERROR") from None
    if not isinstance(record, dict):
        raise RefusalError("SCHEMA_TYPE")
    return record


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        raise RefusalError("SCHEMA_TYPE")
    return value or None


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RefusalError("SCHEMA_TYPE")
    return value


def _integer(value: Any) -> int:
    whole = isinstance(value, Decimal) and value.as_tuple().exponent == 0
    if not whole or not -(2**63) <= value < 2**63:
        raise RefusalError("SCHEMA_TYPE")
    return int(value)


def _decimal(kind: str) -> Callable[[Any], Decimal]:
    before, after = DIGITS[kind]

    def read(value: Any) -> Decimal:
        number = Decimal(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
        if not isinstance(number, Decimal):
            raise RefusalError("SCHEMA_TYPE")
        if not number.is_finite():
            raise RefusalError("NON_FINITE")
        units = EXACT.scaleb(number, after)
        if units != units.to_integral_value() or abs(units) >= 10 ** (before + after):
            raise RefusalError("SCHEMA_TYPE")
        return number

    return read


def _time(value: Any) -> int:
    """ISO-8601 text with an offset, or whole milliseconds since epoch, as ns since epoch."""
    if isinstance(value, Decimal):
        return _integer(value) * 1_000_000
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?",
                         value if isinstance(value, str) else "")  # fmt: skip
    if found is None:
        raise RefusalError("SCHEMA_TYPE")
    if found[3] is None:
        raise RefusalError("TS_OUT_OF_RANGE")
    try:
        moment = datetime.fromisoformat(found[1] + found[3])
    except ValueError:
        raise RefusalError("SCHEMA_TYPE") from None
    return epoch_ns(moment) + int((found[2] or "").ljust(9, "0"))


_KIND: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "boolean": _boolean,
    "integer": _integer,
    "price": _decimal("price"),
    "size": _decimal("size"),
    "time": _time,
}


def _rules(dataset: str, values: dict[str, Any], recv_ts_ns: int) -> None:
    sizes = [values.get(name) or 0 for name in ("bid_size", "offer_size", "size")]
    quoted = [values.get(name) or 0 for name in ("bid_price", "offer_price", "price")]
    above_zero = [values[name] for name in ("tick_size", "price_multiplier") if values.get(name)
                  is not None]  # fmt: skip
    sides = {"trades": ("B", "S"), "quotes": ("BID", "OFFER")}.get(dataset, ())
    broken = {
        "SCHEMA_TYPE": values.get("status") not in (None, "NEW", "CORRECT", "CANCEL")
        or (dataset == "trades" and values["price"] * values["quantity"] >= MAX_NOTIONAL),
        "PRICE_NOT_POSITIVE": (dataset == "trades" and values["price"] <= 0)
        or min(quoted) < 0
        or any(value <= 0 for value in above_zero),
        "QTY_NOT_POSITIVE": dataset == "trades" and values["quantity"] <= 0,
        "QTY_NEGATIVE": min(sizes) < 0,
        "FUTURE_TS": values["event_ts_ns"] > recv_ts_ns + SKEW_NS,
        "TS_OUT_OF_RANGE": values["event_ts_ns"] < FIRST_NS,
        "UNKNOWN_SIDE": values.get("side") not in (None, *sides),
    }
    for code, is_broken in broken.items():
        if is_broken:
            raise RefusalError(code)


def epoch_ns(moment: datetime) -> int:
    """Whole seconds of an aware datetime as ns since epoch UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * SECOND
