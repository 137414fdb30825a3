"""The records R4-R10: what a producer sends is taken, and each rule bites at its edge."""

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from contracts import registry
from contracts.codes import RejectCode
from ingestion.check import check
from ingestion.decode import decode_json

NOON_MS, NOON_NS = 1_759_406_400_000, 1_759_406_400_000_000_000  # 2025-10-02T12:00:00Z
LATER_MS = NOON_MS + 5_001  # more than 5 s after it was received

# What features.md says that a producer sends; alerts as the demo of V7 and as analytics.md 16.
RECORDS: dict[str, dict[str, Any]] = {
    "orders": {
        "msgId": "M1", "instrumentId": "CL", "timestamp": NOON_MS, "price": 70.25, "volume": 3,
        "side": "B", "msgType": "A", "sequence": 1,
    },
    "market_data": {
        "symbol": "AAPL", "exchange": "NYSE", "price": 175.23, "bid_price": 175.20,
        "ask_price": 175.25, "bid_size": 100, "ask_size": 200, "volume": 5000,
        "timestamp": NOON_MS,
    },
    "positions": {
        "trader_id": "TRADER_001", "symbol": "AAPL", "position_size": 1000, "avg_price": 174.50,
        "current_pnl": 730.00, "timestamp": NOON_MS,
    },
    "book_updates": {
        "symbol": "AAPL", "exchange": "NYSE", "side": "BUY", "order_type": "LIMIT",
        "price": 175.20, "quantity": 100, "timestamp": NOON_MS,
    },
    "posts": {
        "platform": "reddit", "post_id": "p1", "created": NOON_MS, "author": "someone",
        "text": 'to "the" $AAPL', "score": -3, "tickers": ["AAPL", "MSFT"],
    },
    "bars": {
        "symbol": "AAPL", "interval": "1m", "window_start": NOON_MS, "open": 10, "high": 11,
        "low": 9, "close": 10.5, "volume": 100,
    },
    "alerts": {
        "symbol": "AAPL", "price_change_pct": 5.274857314511864, "price": 175.23,
        "prev_price": 166.45, "detection_time": NOON_MS,
    },
}  # fmt: skip

ABSENT = object()


def judge(dataset: str, **change: Any) -> tuple[dict[str, Any] | None, tuple[str, str] | None]:
    """The sample with a change, received at noon: (its row, None) or (None, (code, message))."""
    record = {key: v for key, v in {**RECORDS[dataset], **change}.items() if v is not ABSENT}
    contract = registry.get(dataset)
    decoded = decode_json(contract, [json.dumps(record).encode()], 10_000)
    if decoded.rejects.height:
        return None, decoded.rejects.select("code", "message").row(0)
    checked = check(contract, decoded.frame.with_columns(recv_ts_ns=pl.lit(NOON_NS)))
    if checked.rejects.height:
        return None, checked.rejects.select("code", "message").row(0)
    return checked.good.row(0, named=True), None


@pytest.mark.parametrize("dataset", RECORDS)
def test_what_a_producer_sends_is_taken_with_its_own_values(dataset: str) -> None:
    row, refused = judge(dataset)
    assert refused is None
    assert row is not None
    for wire, sent in RECORDS[dataset].items():
        column = registry.get(dataset).by_wire[wire]
        expected = {"decimal": lambda v: Decimal(str(v)), "time": lambda v: v * 1_000_000}
        assert row[column.name] == expected.get(column.kind, lambda v: v)(sent), wire


@pytest.mark.parametrize("dataset", RECORDS)
def test_an_event_ahead_of_its_reception_is_refused_in_every_record(dataset: str) -> None:
    (time,) = [c.wire for c in registry.get(dataset).columns if c.kind == "time"]
    _, refused = judge(dataset, **{time: LATER_MS})
    assert refused is not None
    assert refused[0] == "FUTURE_TS"
    assert judge(dataset, **{time: LATER_MS - 1})[1] is None


def of_type(kind: str, **more: Any) -> dict[str, Any]:
    return {"msgType": kind, **more}


CASES: list[tuple[str, dict[str, Any], str | None]] = [
    ("orders", of_type("X"), "UNKNOWN_MSG_TYPE"),
    ("orders", of_type("X", price=-1, volume=-1), "UNKNOWN_MSG_TYPE"),  # the type decides first
    ("orders", of_type("t"), "UNKNOWN_MSG_TYPE"),
    ("orders", of_type(""), "SCHEMA_MISSING_FIELD"),
    ("orders", {"msgType": ABSENT}, "SCHEMA_MISSING_FIELD"),
    *[("orders", of_type(kind, price=None), "SCHEMA_MISSING_FIELD") for kind in "TAM"],
    *[("orders", of_type(kind, price=ABSENT), None) for kind in "CFR"],
    *[("orders", of_type(kind, volume=0), "QTY_NOT_POSITIVE") for kind in "TAM"],
    *[("orders", of_type(kind, volume=0), None) for kind in "CFR"],
    *[("orders", of_type(kind, volume="-0.00000001"), "QTY_NEGATIVE") for kind in "CFR"],
    *[("orders", of_type(kind, price=0), "PRICE_NOT_POSITIVE") for kind in "TAMCF"],
    *[("orders", of_type(kind, side=None), None) for kind in "TCFR"],
    *[("orders", of_type(kind, side=None), "SCHEMA_MISSING_FIELD") for kind in "AM"],
    ("orders", {"side": ABSENT}, "SCHEMA_MISSING_FIELD"),
    ("orders", {"side": "BUY"}, "UNKNOWN_SIDE"),
    ("orders", {"sequence": ABSENT}, "SCHEMA_MISSING_FIELD"),
    ("orders", {"price": "1e8", "volume": "1e10"}, "SCHEMA_TYPE"),  # a product of 38 digits
    ("market_data", {"price": 0}, "PRICE_NOT_POSITIVE"),
    ("market_data", {"price": None}, "SCHEMA_MISSING_FIELD"),
    ("market_data", {"bid_price": 0, "ask_size": None}, None),  # withdrawn sides
    ("market_data", {"ask_price": "-0.01"}, "PRICE_NOT_POSITIVE"),
    ("market_data", {"bid_size": -1}, "QTY_NEGATIVE"),
    ("market_data", {"volume": 0}, None),
    ("market_data", {"volume": -1}, "QTY_NEGATIVE"),
    ("market_data", {"exchange": None}, "SCHEMA_MISSING_FIELD"),
    ("positions", {"position_size": -1000, "current_pnl": "-730.12345678"}, None),
    ("positions", {"position_size": 0, "avg_price": None, "current_pnl": None}, None),
    ("positions", {"avg_price": 0}, "PRICE_NOT_POSITIVE"),
    ("positions", {"avg_price": "1e8", "position_size": "-1e10"}, "SCHEMA_TYPE"),
    ("positions", {"trader_id": ""}, "SCHEMA_MISSING_FIELD"),
    ("book_updates", {"order_type": "STOP"}, "UNKNOWN_MSG_TYPE"),
    ("book_updates", {"price": None}, "SCHEMA_MISSING_FIELD"),
    ("book_updates", {"price": None, "order_type": "MARKET"}, None),
    ("book_updates", {"price": None, "order_type": "CANCEL"}, None),
    ("book_updates", {"quantity": 0, "order_type": "CANCEL"}, "QTY_NOT_POSITIVE"),
    ("book_updates", {"side": "B"}, "UNKNOWN_SIDE"),
    ("book_updates", {"side": None}, "SCHEMA_MISSING_FIELD"),
    ("posts", {"tickers": []}, None),
    ("posts", {"tickers": ABSENT, "author": None, "score": None}, None),
    ("posts", {"tickers": ["AAPL", None]}, "SCHEMA_TYPE"),
    ("posts", {"tickers": [1]}, "SCHEMA_TYPE"),
    ("posts", {"tickers": "AAPL"}, "SCHEMA_TYPE"),
    ("posts", {"text": ""}, "SCHEMA_MISSING_FIELD"),
    ("posts", {"post_id": None}, "SCHEMA_MISSING_FIELD"),
    ("bars", {"high": 10.5, "low": 10}, None),
    ("bars", {"high": "10.4"}, "SCHEMA_TYPE"),
    ("bars", {"low": "10.1"}, "SCHEMA_TYPE"),
    ("bars", {"interval": "2m"}, "SCHEMA_TYPE"),
    ("bars", {"volume": 0, "vwap": 10, "trade_count": 0}, None),
    ("bars", {"volume": -1}, "QTY_NEGATIVE"),
    ("bars", {"vwap": 0}, "PRICE_NOT_POSITIVE"),
    ("bars", {"close": None}, "SCHEMA_MISSING_FIELD"),
    ("alerts", {"symbol": ABSENT, "trader_id": "T1", "rule": "gross", "value": "5e6"}, None),
    ("alerts", {"detection_time": None}, "SCHEMA_MISSING_FIELD"),
    ("alerts", {"price_change_pct": "NaN"}, "NON_FINITE"),
]


@pytest.mark.parametrize(("dataset", "change", "code"), CASES)
def test_a_record_is_judged_at_the_edge_of_each_rule(
    dataset: str, change: dict[str, Any], code: str | None
) -> None:
    _, refused = judge(dataset, **change)
    assert (refused[0] if refused else None) == code, refused


def test_a_reject_says_which_rule_and_shows_the_values() -> None:
    _, refused = judge("orders", msgType="A", price=None)
    assert refused == ("SCHEMA_MISSING_FIELD", "price is missing: msg_type=A, price=None")
    _, refused = judge("bars", interval="2m")
    assert refused == ("SCHEMA_TYPE", "not one of 1s, 10s, 1m, 5m, 1h, 1d: interval=2m")


def test_an_unknown_type_outranks_what_is_wrong_with_price_and_quantity() -> None:
    order = list(RejectCode)
    weaker = ("PRICE_NOT_POSITIVE", "QTY_NOT_POSITIVE", "QTY_NEGATIVE", "FUTURE_TS")
    assert all(
        order.index(RejectCode.UNKNOWN_MSG_TYPE) < order.index(RejectCode(c)) for c in weaker
    )


def test_a_repeated_key_beside_a_list_is_found() -> None:
    record = json.dumps(RECORDS["posts"])[:-1].encode() + b',"author":"someone"}'
    rejects = decode_json(registry.get("posts"), [record], 10_000).rejects
    assert rejects["code"].to_list() == ["PARSE_ERROR"]
    assert rejects["message"].to_list() == ["a key is repeated"]
