"""The rules about values, in plain Python from the spec: which reject code a record gets.

Sections in brackets are sections of analytics.md. Nothing here may import the project.
"""

from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from typing import Any

FIRST_NS = 631_152_000_000_000_000  # 1990-01-01T00:00:00Z
SKEW_NS = 5_000_000_000
MAX_NOTIONAL = 10**18  # sums of price x quantity must fit decimal(38, 12)
EXACT = Context(prec=2_000)

ORDER = ("SCHEMA_MISSING_FIELD", "SCHEMA_TYPE", "UNKNOWN_MSG_TYPE", "PRICE_NOT_POSITIVE",
         "QTY_NOT_POSITIVE", "QTY_NEGATIVE", "FUTURE_TS", "TS_OUT_OF_RANGE",
         "UNKNOWN_SIDE")  # fmt: skip
INTERVALS = ("1s", "10s", "1m", "5m", "1h", "1d")
Values = dict[str, Any]


def broken_rule(dataset: str, values: Values, recv_ts_ns: int) -> str | None:
    """Reject code of the first rule that a record's canonical values break; None if they keep all.

    The schema decides first, then what type of message it is [23.1], then the rest as in 1.1.
    """
    broken = set(_BROKEN.get(dataset, _nothing)(values))
    if values["event_ts_ns"] > recv_ts_ns + SKEW_NS:
        broken.add("FUTURE_TS")
    if values["event_ts_ns"] < FIRST_NS:
        broken.add("TS_OUT_OF_RANGE")
    return min(broken, key=ORDER.index, default=None)


def _trades(values: Values) -> Iterator[str]:
    yield from _traded(values["price"], values["quantity"])
    if values["status"] not in (None, "NEW", "CORRECT", "CANCEL"):
        yield "SCHEMA_TYPE"
    if values["side"] not in (None, "B", "S"):
        yield "UNKNOWN_SIDE"


def _quotes(values: Values) -> Iterator[str]:
    yield from _below_zero("PRICE_NOT_POSITIVE", values, "bid_price", "offer_price", "price")
    yield from _below_zero("QTY_NEGATIVE", values, "bid_size", "offer_size", "size")
    if values["side"] not in (None, "BID", "OFFER"):
        yield "UNKNOWN_SIDE"


def _securities(values: Values) -> Iterator[str]:
    yield from _not_above_zero(values, "tick_size", "price_multiplier")
    known = (None, "ACTIVE", "INACTIVE", "SUSPENDED", "DELISTED", "MATURED", "DELETED")
    if values["status"] not in known:
        yield "SCHEMA_TYPE"


def _orders(values: Values) -> Iterator[str]:
    """A trade, an add and a modify set a price and a quantity; what ends an order need not."""
    kind, price, quantity = values["msg_type"], values["price"], values["quantity"]
    if kind not in ("T", "A", "C", "M", "F", "R"):
        yield "UNKNOWN_MSG_TYPE"
    if kind in ("T", "A", "M"):
        if price is None:
            yield "SCHEMA_MISSING_FIELD"
        yield from _traded(price, quantity)
    else:
        yield from _not_above_zero(values, "price")
        yield from _below_zero("QTY_NEGATIVE", values, "quantity")
        yield from _too_large(price, quantity)
    if kind in ("A", "M") and values["side"] is None:
        yield "SCHEMA_MISSING_FIELD"
    if values["side"] not in (None, "B", "S"):
        yield "UNKNOWN_SIDE"


def _market_data(values: Values) -> Iterator[str]:
    yield from _not_above_zero(values, "last_price")
    yield from _below_zero("PRICE_NOT_POSITIVE", values, "bid_price", "offer_price")
    yield from _below_zero("QTY_NEGATIVE", values, "bid_size", "offer_size", "volume")


def _positions(values: Values) -> Iterator[str]:
    yield from _not_above_zero(values, "avg_price")
    yield from _too_large(values["avg_price"], values["position_size"])


def _book_updates(values: Values) -> Iterator[str]:
    if values["order_type"] not in ("LIMIT", "MARKET", "CANCEL"):
        yield "UNKNOWN_MSG_TYPE"
    if values["order_type"] == "LIMIT" and values["price"] is None:
        yield "SCHEMA_MISSING_FIELD"
    yield from _traded(values["price"], values["quantity"])
    if values["side"] not in ("BUY", "SELL"):
        yield "UNKNOWN_SIDE"


def _bars(values: Values) -> Iterator[str]:
    if values["interval"] not in INTERVALS:
        yield "SCHEMA_TYPE"
    for price in ("open", "close"):
        if not values["low"] <= values[price] <= values["high"]:
            yield "SCHEMA_TYPE"
    yield from _not_above_zero(values, "open", "high", "low", "close", "vwap")
    yield from _below_zero("QTY_NEGATIVE", values, "volume", "trade_count")
    yield from _too_large(values["high"], values["volume"])


def _nothing(_: Values) -> Iterator[str]:
    """What is stated about the time is all: posts, and alerts as somebody published them."""
    yield from ()


_BROKEN: dict[str, Callable[[Values], Iterator[str]]] = {
    "trades": _trades,
    "quotes": _quotes,
    "securities": _securities,
    "orders": _orders,
    "market_data": _market_data,
    "positions": _positions,
    "book_updates": _book_updates,
    "bars": _bars,
}


def _traded(price: Decimal | None, quantity: Decimal) -> Iterator[str]:
    if price is not None and price <= 0:
        yield "PRICE_NOT_POSITIVE"
    if quantity <= 0:
        yield "QTY_NOT_POSITIVE"
    yield from _too_large(price, quantity)


def _too_large(price: Decimal | None, quantity: Decimal) -> Iterator[str]:
    if price is not None and abs(EXACT.multiply(price, quantity)) >= MAX_NOTIONAL:
        yield "SCHEMA_TYPE"


def _not_above_zero(values: Values, *names: str) -> Iterator[str]:
    if any(values[name] is not None and values[name] <= 0 for name in names):
        yield "PRICE_NOT_POSITIVE"


def _below_zero(code: str, values: Values, *names: str) -> Iterator[str]:
    if any((values[name] or 0) < 0 for name in names):
        yield code
