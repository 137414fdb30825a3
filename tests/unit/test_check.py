"""The contract check: each rule at its edge, one code a row, and no way to switch it off."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from pandera.config import ValidationDepth, config_context

from contracts import registry
from contracts.base import Contract
from ingestion.check import Checked, ContractsDisabled, check, refuse_if_disabled

TRADES, QUOTES = registry.get("trades"), registry.get("quotes")
SECURITIES = registry.get("securities")
NOW = 1_759_406_400_000_000_000  # 2025-10-02T12:00:00Z
START_OF_1990 = 631_152_000_000_000_000
SECOND = 1_000_000_000

TRADE: dict[str, Any] = {
    "trade_id": "T1",
    "instrument_id": "BOND_12345",
    "price": Decimal("99.6"),
    "quantity": Decimal(250000),
    "event_ts_ns": NOW,
    "side": "B",
}
QUOTE: dict[str, Any] = {
    "instrument_id": "BOND_12345",
    "dealer_id": "DEALER_001",
    "bid_price": Decimal("99.5"),
    "offer_price": Decimal("99.75"),
    "bid_size": Decimal(1_000_000),
    "offer_size": Decimal(500_000),
    "event_ts_ns": NOW,
}
SECURITY: dict[str, Any] = {"instrument_id": "X", "security_name": "A bond", "event_ts_ns": NOW}


def judge(contract: Contract, *rows: dict[str, Any]) -> Checked:
    schema = {column.name: column.dtype for column in contract.columns} | {"recv_ts_ns": pl.Int64}
    complete = [{"recv_ts_ns": NOW, **row} for row in rows]
    frame = pl.DataFrame(complete, schema=schema)
    return check(contract, frame.with_row_index("i"))


def codes(contract: Contract, *rows: dict[str, Any]) -> list[str | None]:
    """Code of each row, None where it passed; a row must be in exactly one of the two."""
    checked = judge(contract, *rows)
    found = dict(zip(checked.rejects["i"], checked.rejects["code"], strict=True))
    assert sorted([*found, *checked.good["i"]]) == list(range(len(rows)))
    return [found.get(row) for row in range(len(rows))]


def test_a_sound_batch_passes_whole_and_unchanged() -> None:
    checked = judge(TRADES, TRADE, TRADE)
    assert checked.rejects.is_empty()
    assert checked.good.height == 2
    assert checked.good.row(0, named=True)["price"] == Decimal("99.6")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": Decimal("0.000000001")}, None),
        ({"price": Decimal(0)}, "PRICE_NOT_POSITIVE"),
        ({"price": Decimal("-1")}, "PRICE_NOT_POSITIVE"),
        ({"price": None}, "SCHEMA_MISSING_FIELD"),
        ({"quantity": Decimal(0)}, "QTY_NOT_POSITIVE"),
        ({"quantity": Decimal("-5")}, "QTY_NOT_POSITIVE"),
        ({"instrument_id": None}, "SCHEMA_MISSING_FIELD"),
        ({"event_ts_ns": None}, "SCHEMA_MISSING_FIELD"),
        ({"event_ts_ns": NOW + 5 * SECOND}, None),
        ({"event_ts_ns": NOW + 5 * SECOND + 1}, "FUTURE_TS"),
        ({"event_ts_ns": START_OF_1990}, None),
        ({"event_ts_ns": START_OF_1990 - 1}, "TS_OUT_OF_RANGE"),
        ({"event_ts_ns": 2**63 - 1}, "FUTURE_TS"),
        ({"event_ts_ns": NOW + 9 * SECOND, "recv_ts_ns": None}, None),
        ({"side": None}, None),
        ({"side": "b"}, "UNKNOWN_SIDE"),
        ({"trade_id": None}, None),
        ({"status": "CANCEL"}, None),
        ({"status": "BUSTED"}, "SCHEMA_TYPE"),
    ],
)
def test_a_trade_is_judged_at_the_edge_of_each_rule(
    change: dict[str, Any], code: str | None
) -> None:
    assert codes(TRADES, TRADE, {**TRADE, **change}, TRADE) == [None, code, None]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bid_price": None, "bid_size": None}, None),
        ({"bid_price": Decimal(0), "bid_size": Decimal(0)}, None),
        ({"bid_price": Decimal(-1)}, "PRICE_NOT_POSITIVE"),
        ({"offer_price": Decimal(-1)}, "PRICE_NOT_POSITIVE"),
        ({"bid_size": Decimal(-1)}, "QTY_NEGATIVE"),
        ({"offer_size": Decimal(-1)}, "QTY_NEGATIVE"),
        ({"dealer_id": None}, "SCHEMA_MISSING_FIELD"),
        ({"side": "BID", "price": Decimal(99), "size": Decimal(1)}, None),
        ({"side": "B"}, "UNKNOWN_SIDE"),
        ({"bid_price": Decimal(101)}, None),  # crossed: flagged later, not refused
    ],
)
def test_a_quote_is_judged_at_the_edge_of_each_rule(
    change: dict[str, Any], code: str | None
) -> None:
    assert codes(QUOTES, {**QUOTE, **change}) == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"security_name": None}, "SCHEMA_MISSING_FIELD"),
        ({"price_multiplier": Decimal(0)}, "PRICE_NOT_POSITIVE"),
        ({"tick_size": Decimal("-0.01")}, "PRICE_NOT_POSITIVE"),
        ({"event_ts_ns": NOW + 6 * SECOND}, "FUTURE_TS"),
    ],
)
def test_a_security_is_judged_at_the_edge_of_each_rule(
    change: dict[str, Any], code: str | None
) -> None:
    assert codes(SECURITIES, {**SECURITY, **change}) == [code]


def test_a_row_that_breaks_several_rules_is_filed_under_the_first_code() -> None:
    missing = {**TRADE, "instrument_id": None, "price": Decimal(-1), "side": "X"}
    negative = {**TRADE, "price": Decimal(-1), "quantity": Decimal(0), "side": "X"}
    future = {**TRADE, "event_ts_ns": NOW + 6 * SECOND, "side": "X"}
    expected = ["SCHEMA_MISSING_FIELD", "PRICE_NOT_POSITIVE", "FUTURE_TS"]
    assert codes(TRADES, missing, negative, future) == expected


def test_the_message_says_what_was_wrong() -> None:
    checked = judge(TRADES, {**TRADE, "price": Decimal("-1.5")}, {**TRADE, "quantity": None})
    assert checked.rejects["message"].to_list() == ["price=-1.500000000", "quantity is missing"]


def test_a_batch_in_which_nothing_is_good_gives_an_empty_frame() -> None:
    checked = judge(TRADES, *[{**TRADE, "price": Decimal(0)}] * 3)
    assert checked.good.is_empty()
    assert checked.rejects["i"].to_list() == [0, 1, 2]


def test_ingestion_refuses_to_run_where_checks_are_switched_off() -> None:
    refuse_if_disabled()
    with config_context(validation_enabled=False), pytest.raises(ContractsDisabled, match="unset"):
        judge(TRADES, TRADE)
    with (
        config_context(validation_depth=ValidationDepth.SCHEMA_ONLY),
        pytest.raises(ContractsDisabled),
    ):
        refuse_if_disabled()
