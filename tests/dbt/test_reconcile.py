"""What `ticklake reconcile` reads: every account with both its sides, and what stopped a build."""

from decimal import Decimal

import polars as pl
import pytest

from checks.reconcile import reconcile
from lake.lakehouse import NothingPublished
from tests.desk import Desk, trade

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
    expected = {
        ("consumed = ok + rejected", "quotes"): 2,
        ("consumed = ok + rejected", "securities"): 2,
        ("consumed = ok + rejected", "trades"): 6,
        ("ok = silver + duplicates + filtered", "quotes"): 2,
        ("ok = silver + duplicates + filtered", "securities"): 2,
        ("ok = silver + duplicates + filtered", "trades"): 4,
        ("ok = silver + duplicates + filtered, quantity", "quotes"): 30,
        ("ok = silver + duplicates + filtered, quantity", "trades"): 15,
        ("silver = gold", "candles_1s"): 3,
        ("silver = gold", "enriched_quotes"): 2,
        ("silver = gold", "enriched_trades"): 3,
        ("silver = gold, quantity", "candles_1s"): 12,
        ("silver = gold, quantity", "enriched_trades"): 12,
        ("silver = gold, notional", "candles_1s"): notional,
        ("silver = gold, notional", "enriched_trades"): notional,
        ("silver = gold, by venue", "candles_1s"): 1,
    }
    assert sides == {key: (side, side) for key, side in expected.items()}


def test_the_lines_that_stopped_the_first_build_ever_are_all_there_is(desk: Desk) -> None:
    with pytest.raises(NothingPublished, match="dbt build"):
        reconcile(desk.settings)
    desk.land("trades", [trade(n, "12:00:00") for n in range(4)], unit="kafka:trades/0")
    (file,) = desk.layout.bronze("trades").rglob("*.parquet")
    pl.read_parquet(file, hive_partitioning=False).head(3).write_parquet(file)
    desk.dbt("build", expect=False)
    (line,) = reconcile(desk.settings)
    assert (line.left, line.right, line.difference) == (4, 3, 1)
    assert "trades kafka:trades/0" in line.scope
    assert line.is_open
