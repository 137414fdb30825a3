"""What `ticklake reconcile` reads: every account with both its sides, and what stopped a build."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from checks.landed import bronze
from checks.reconcile import reconcile
from lake.lakehouse import NothingPublished
from lake.layout import layout
from tests.desk import Desk, trade
from tests.speed_layer import SpeedLayer

QUOTE = {
    "instrumentId": "BOND_1",
    "dealerId": "DEALER_1",
    "bidPrice": 99,
    "offerPrice": 100,
    "bidSize": 10,
    "offerSize": 5,
    "timestamp": "2025-10-02T12:00:00Z",
}
SECURITY = {
    "instrumentId": "BOND_1",
    "securityName": "Bond",
    "cusip": None,
    "isin": None,
    "marketSegment": None,
    "issuer": None,
    "asOf": "2025-10-01T00:00:00Z",
    "priceMultiplier": "0.01",
}


def test_every_account_of_a_small_lake_has_the_sums_of_its_records(desk: Desk) -> None:
    first = trade(1, "12:00:01", 100, 3, venue="A")
    others = [trade(2, "12:00:01", 101, 4), trade(3, "13:00:00", 102, 5, instrument="BOND_2")]
    desk.land("trades", [first, *others, first, {**first, "price": -1}, b"no json"])
    desk.land("quotes", [QUOTE, QUOTE])
    desk.land("securities", [SECURITY, SECURITY])
    desk.build()
    accounts = reconcile(desk.settings)
    assert [account for account in accounts if account.is_open] == []
    sides = {(a.name, a.scope): (a.left, a.right) for a in accounts}
    notional = Decimal("3") + Decimal("4.04") + 510  # 0.01 for BOND_1, 1 for an unknown one
    rows = {
        ("ledger = bronze", "quotes"): 2,
        ("ledger = bronze", "securities"): 2,
        ("ledger = bronze", "trades"): 6,
        ("positions follow each other", "quotes"): 2,
        ("positions follow each other", "securities"): 2,
        ("positions follow each other", "trades"): 6,
        ("consumed = ok + rejected", "quotes"): 2,
        ("consumed = ok + rejected", "securities"): 2,
        ("consumed = ok + rejected", "trades"): 6,
        ("ok = silver + duplicates + filtered", "quotes"): 2,
        ("ok = silver + duplicates + filtered", "securities"): 2,
        ("ok = silver + duplicates + filtered", "trades"): 4,
        ("ok = silver + duplicates + filtered, quantity", "quotes"): 30,
        ("ok = silver + duplicates + filtered, quantity", "trades"): 15,
        ("silver = gold + excluded", "enriched_quotes"): 2,
        ("silver = gold + excluded", "enriched_trades"): 3,
        ("silver = gold + excluded, quantity", "enriched_trades"): 12,
        ("silver = gold + excluded, notional", "enriched_trades"): notional,
    }
    of_candles = {
        "silver = gold + excluded": 3,
        "silver = gold + excluded, quantity": 12,
        "silver = gold + excluded, notional": notional,
        "silver = gold + excluded, by venue": 1,
        "silver = gold + excluded, by venue, quantity": 3,
        "silver = gold + excluded, by venue, notional": 3,
    }
    widths = {
        (name, f"candles_{width}"): side
        for name, side in of_candles.items()
        for width in ("1s", "10s", "1m", "1h")
    }
    days = {
        (name.replace("silver = gold + excluded", "hours = day"), f"candles_1d, {scope}"): side
        for name, side in of_candles.items()
        for scope in ("all", "regular")
    }
    expected = {**rows, **widths, **days}
    sides = {key: both for key, both in sides.items() if key[0] != "published = built"}
    assert sides == {key: (side, side) for key, side in expected.items()}


def test_candles_that_a_resident_stored_are_no_dataset_of_bronze(desk: Desk) -> None:
    trades = [trade(1, "12:00:01", 100, 3), trade(2, "12:00:09", 101, 4)]
    desk.land("trades", trades)
    resident = SpeedLayer(layout(desk.settings))
    resident.take(trades)
    resident.flush(bronze_version=1)
    assert [
        (a.name, a.scope, a.left, a.right, a.is_open) for a in bronze(layout(desk.settings))
    ] == [
        ("ledger = bronze", "trades", 2, 2, False),
        ("positions follow each other", "trades", 2, 2, False),
    ]


def test_two_datasets_under_one_unit_name_stay_apart_and_a_range_counts_what_landed_in_it(
    desk: Desk,
) -> None:
    """One unit, positions 0 and 1 of both; all four events in one nanosecond."""
    orders = [
        {
            "msgId": f"M{n}", "instrumentId": "BOND_1", "timestamp": "2025-10-02T12:00:00Z",
            "price": 100, "volume": 7, "side": "B", "msgType": "T", "sequence": n,
        }
        for n in (1, 2)
    ]  # fmt: skip
    first = trade(1, "12:00:00", 100, 3)
    desk.land("trades", [first, trade(2, "12:00:00", 100, 4), first], unit="kafka:one/0")
    desk.land("orders", orders, unit="kafka:one/0")
    desk.build()
    counted = "select count(*), sum(quantity), count(distinct tie_order) from silver.trades"
    assert desk.query(counted) == [(4, 3 + 4 + 7 + 7, 4)]
    assert desk.query("select count(*) from silver.trade_duplicates") == [(1,)]
    # Nothing is news now; but in the range of today lies what has just landed.
    today = datetime.now(UTC).date()
    desk.build(
        TICKLAKE_BUILD_FROM=f"{today - timedelta(days=1)}",
        TICKLAKE_BUILD_TO=f"{today + timedelta(days=1)}",
    )
    assert [account for account in reconcile(desk.settings) if account.is_open] == []
    assert desk.query("select dataset, ok_rows from audit.account_landing order by 1") == [
        ("orders", 2),
        ("trades", 3),
    ]


def test_the_lines_that_stopped_the_first_build_ever_are_all_there_is(desk: Desk) -> None:
    with pytest.raises(NothingPublished, match="dbt build"):
        reconcile(desk.settings)
    desk.land("trades", [trade(n, "12:00:00") for n in range(4)], unit="kafka:trades/0")
    (file,) = desk.layout.bronze("trades").rglob("*.parquet")
    pl.read_parquet(file, hive_partitioning=False).head(3).write_parquet(file)
    desk.dbt("build", expect=False)
    bronze, stopped = (a for a in reconcile(desk.settings) if a.is_open)
    assert (bronze.name, bronze.left, bronze.right) == ("ledger = bronze", 4, 3)
    assert f"{file}: data file of another size" in bronze.detail
    assert (stopped.left, stopped.right, stopped.difference) == (4, 3, 1)
    assert "trades kafka:trades/0" in stopped.scope
