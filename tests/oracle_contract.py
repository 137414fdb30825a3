"""Truth about single records: verdict, reject code and values, in plain Python from the spec.

Nothing here may import the project, DuckDB, polars or dbt: what agrees with this agrees with the
definitions (analytics.md), not with itself. Sections in brackets are sections of that document.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.oracle_rules import EXACT, broken_rule
from tests.oracle_wire import WIRE, Wire

SECOND = 1_000_000_000
MAX_BYTES = 262_144

# Digits before and after the point [0.3]; money is counted like quantities, ratios as in sums.
DIGITS = {"price": (9, 9), "size": (20, 8), "money": (20, 8), "ratio": (20, 18)}
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
    """Verdict of one JSON record: it may be unreadable in one way, or break rules about values."""
    try:
        values = _read(WIRE[dataset], delivered.raw)
        if dataset == "securities" and values["event_ts_ns"] is None:
            values["event_ts_ns"] = delivered.recv_ts_ns
        code = broken_rule(dataset, values, delivered.recv_ts_ns)
        if code is not None:
            raise RefusalError(code)
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


def _read(wire: Wire, raw: bytes) -> dict[str, Any]:
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
        # Half of a surrogate pair is no character: what cannot be written was not text.
        json.dumps(record, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError):
        raise RefusalError("PARSE_ERROR") from None
    if not isinstance(record, dict):
        raise RefusalError("SCHEMA_TYPE")
    return record


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        raise RefusalError("SCHEMA_TYPE")
    return value or None


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise RefusalError("SCHEMA_TYPE")
    return value


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
    "texts": _texts,
    "boolean": _boolean,
    "integer": _integer,
    "time": _time,
    **{kind: _decimal(kind) for kind in DIGITS},
}


def epoch_ns(moment: datetime) -> int:
    """Whole seconds of an aware datetime as ns since epoch UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * SECOND
