"""The gateway: of the order messages only trades reach the candles, and every message is accounted
for (analytics.md 23.1)."""

from decimal import Decimal
from typing import Any

import pytest

from checks.reconcile import reconcile
from contracts.orders import MSG_TYPES
from tests.desk import Desk, trade

UNIT = "kafka:test/market.orders.v1/0"
# the types of 60 messages: 3 trades (5 %) among adds, cancels and modifies, fills and a clear
TYPES = "R" + "ACAAMCACAACATFACAAMC" + "ACAACAACAMCATFACAACAACCAACAACACATFACAAA"


def message(number: int, kind: str, **more: Any) -> dict[str, Any]:
    """An order message; one a second, of two instruments in turns of four."""
    is_priced = kind in "TAMF"
    return {
        "msgId": f"M{number}",
        "instrumentId": "CRUDE" if number // 4 % 2 else "GAS",
        "timestamp": f"2025-10-02T12:{number // 30:02d}:{number % 30:02d}.25Z",
        "price": f"{70 + number / 4}" if is_priced else None,
        "volume": 0 if kind == "R" else number + 1,
        "side": None if kind == "R" else "BS"[number // 2 % 2],
        "msgType": kind,
        "sequence": number,
        "venue": "XNYM",
        **more,
    }


FIREHOSE = [message(number, kind) for number, kind in enumerate(TYPES)]
NOISE_FREE = [m for m in FIREHOSE if m["msgType"] == "T"]
REPORTED = [trade(n, f"12:00:{n:02d}.5", 80, n, instrument="GAS", venue="XNYM") for n in (1, 2, 3)]
CANDLES = [f"gold.candles_{width}" for width in ("1s", "10s", "1m", "1h", "1d")]


def everything(desk: Desk, table: str) -> list[tuple[Any, ...]]:
    """Every row and column of a published table."""
    return desk.query(f"select * from {table} order by all")


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """The firehose with a copy of a trade, an unknown type and a broken record in it, landed in
    two commits with a build between, and three trades that their source reported as such."""
    shared_desk.land("trades", REPORTED)
    shared_desk.land("orders", FIREHOSE[:30], unit=UNIT, source="market.orders.v1")
    shared_desk.build()
    rest = [*FIREHOSE[30:], NOISE_FREE[0], message(60, "X"), b"no json"]
    shared_desk.land("orders", rest, unit=UNIT, source="market.orders.v1")
    shared_desk.build()
    return shared_desk


def test_candles_are_the_same_with_and_without_the_order_noise(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    quiet = Desk(tmp_path_factory.mktemp("quiet"), desk.target)
    quiet.land("trades", REPORTED)
    quiet.land("orders", NOISE_FREE, unit=UNIT, source="market.orders.v1")
    quiet.build()
    for table in CANDLES:
        with_noise = everything(desk, table)
        assert with_noise == everything(quiet, table), table
        assert with_noise, table


def test_a_candle_holds_the_trades_of_both_records_once(desk: Desk) -> None:
    assert [(m["msgId"], m["instrumentId"], m["price"], m["volume"]) for m in NOISE_FREE] == [
        ("M13", "CRUDE", "73.25", 14),
        ("M33", "GAS", "78.25", 34),
        ("M53", "CRUDE", "83.25", 54),
    ]
    days = desk.query(
        "select instrument_id, open, close, volume, trade_count from gold.candles_1d "
        "where venue = 'ALL' and session_scope = 'all' order by 1"
    )
    assert days == [
        ("CRUDE", Decimal("73.25"), Decimal("83.25"), 14 + 54, 2),
        ("GAS", 80, Decimal("78.25"), 1 + 2 + 3 + 34, 4),
    ]


def test_a_trade_among_orders_is_a_trade_in_silver_with_its_own_provenance(desk: Desk) -> None:
    found = desk.query(
        "select dataset, trade_id, source, unit, position, side, venue, sequence, status "
        "from silver.trades where dataset = 'orders' order by position"
    )
    assert found == [
        ("orders", m["msgId"], "market.orders.v1", UNIT, m["sequence"], m["side"], "XNYM",
         m["sequence"], "NEW")
        for m in NOISE_FREE
    ]  # fmt: skip


def test_every_order_message_is_passed_filtered_or_rejected(desk: Desk) -> None:
    ((seen, passed, filtered, rejected, unknown),) = desk.query(
        "select sum(seen_rows), sum(passed_rows), sum(filtered_rows), sum(rejected_rows), "
        "sum(unknown_type_rows) from audit.account_gateway"
    )
    assert (seen, passed, filtered, rejected, unknown) == (63, 4, 57, 2, 1)
    by_type = desk.query(
        "select sum(trade_rows), sum(add_rows), sum(cancel_rows), sum(modify_rows), "
        "sum(fill_rows), sum(clear_rows) from audit.account_gateway"
    )
    assert by_type == [(4, *(TYPES.count(kind) for kind in "ACMFR"))]
    assert {*TYPES} == {*MSG_TYPES}
    codes = desk.query("select reject_code from quarantine.orders order by 1")
    assert codes == [("PARSE_ERROR",), ("UNKNOWN_MSG_TYPE",)]


def test_the_silver_account_of_orders_closes_over_what_was_filtered(desk: Desk) -> None:
    totals = desk.query(
        "select sum(ok_rows), sum(silver_rows), sum(duplicate_rows), sum(filtered_rows), "
        "sum(abs(difference)), sum(abs(quantity_difference)) from audit.account_silver "
        "where dataset = 'orders'"
    )
    assert totals == [(61, 3, 1, 57, 0, 0)]
    volume = sum(m["volume"] for m in [*FIREHOSE, NOISE_FREE[0]])
    accounts = {(a.name, a.scope): a for a in reconcile(desk.settings)}
    quantity = accounts["ok = silver + duplicates + filtered, quantity", "orders"]
    assert (quantity.left, quantity.right, quantity.is_open) == (volume, volume, False)
    gateway = accounts["seen = passed + filtered + rejected", "orders"]
    assert (gateway.left, gateway.right, gateway.is_open) == (63, 63, False)


def test_trades_that_share_the_sequence_of_a_match_are_trades_each_and_once(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Feeds without ids number matches, not trades: 5, 3 and 3 lots of one match, sent twice."""
    match = [{**message(1, "T", msgId=None, sequence=7), "volume": volume} for volume in (5, 3, 3)]
    matched = Desk(tmp_path_factory.mktemp("matched"), desk.target)
    for delivery in ("a", "b"):
        matched.land("orders", match, delivery_unit=delivery, unit=f"file:{delivery}")
    matched.build()
    assert matched.query("select count(*), sum(quantity) from silver.trades") == [(3, 11)]
    copies = "select duplicate_by, count(*) from silver.trade_duplicates group by 1"
    assert matched.query(copies) == [("content", 3)]
