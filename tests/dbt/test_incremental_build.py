"""Late rows rebuild exactly what they touch, and the result is that of a full refresh."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from checks.reconcile import reconcile
from tests.desk import Desk, trade

DAY = datetime(2025, 10, 2, tzinfo=UTC)
EVENT_TABLES = (
    "gold.candle_windows_1s",
    "gold.candle_windows_10s",
    "gold.candle_windows_1m",
    "gold.candles_1h",
)


def market(seed: int, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Trades of four instruments between 13:00 and 20:00 UTC, on whole and broken milliseconds."""
    rng = random.Random(seed)
    rows = []
    for number in range(first, first + count):
        at = DAY + timedelta(
            hours=13, seconds=rng.randrange(7 * 3600), milliseconds=rng.randrange(9)
        )
        rows.append(
            trade(
                number,
                at.isoformat().replace("+00:00", "Z"),
                price=f"{100 + rng.randrange(-50, 50) / 100:.2f}",
                quantity=rng.randrange(1, 100),
                instrument=f"BOND_{rng.randrange(4)}",
            )
        )
    return rows


def quotes(seed: int, count: int) -> list[dict[str, Any]]:
    """Two-sided quotes of the same instruments over the same hours."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        at = DAY + timedelta(hours=13, milliseconds=rng.randrange(7 * 3_600_000))
        bid = 9900 + rng.randrange(100)
        rows.append(
            {
                "instrumentId": f"BOND_{rng.randrange(4)}",
                "dealerId": f"DEALER_{rng.randrange(3)}",
                "bidPrice": f"{bid / 100:.2f}",
                "offerPrice": f"{(bid + 10) / 100:.2f}",
                "bidSize": 1000,
                "offerSize": 500,
                "timestamp": at.isoformat().replace("+00:00", "Z"),
            }
        )
    return rows


def security(number: int, **more: Any) -> dict[str, Any]:
    return {
        "instrumentId": f"BOND_{number}",
        "securityName": f"Bond {number}",
        "cusip": None,
        "isin": None,
        "marketSegment": "HG",
        "issuer": "Issuer",
        "priceMultiplier": "0.01",
        **more,
    }


def replaced(desk: Desk, build_id: str, model: str) -> set[tuple[str, str]]:
    """(instrument, hour) parts of a model that a build says it replaced."""
    rows = desk.query(
        f"select instrument_id, strftime(hour, '%Y-%m-%dT%H') from audit.dirty "
        f"where build_id = '{build_id}' and model = '{model}'"
    )
    return set(rows)


def files_by_part(desk: Desk, table: str) -> dict[str, set[str]]:
    """Published partition -> its data files."""
    schema, name = table.split(".")
    from deltalake import DeltaTable

    from lake.records import current

    record = current(desk.layout)
    assert record is not None
    path = desk.layout.table(schema, name)
    found: dict[str, set[str]] = {}
    for uri in DeltaTable(str(path), version=record.tables[table].version).file_uris():
        part, _, file = uri.removeprefix(f"{path}/").partition("/")
        found.setdefault(part.removeprefix("part="), set()).add(file)
    return found


def fill(desk: Desk) -> None:
    desk.land("securities", [security(n, asOf="2025-10-01T00:00:00Z") for n in range(3)])
    desk.land("quotes", quotes(1, 400))
    desk.land("trades", market(2, 600))


def test_late_rows_of_three_hours_rebuild_exactly_their_parts_and_equal_a_full_refresh(
    desk: Desk,
) -> None:
    fill(desk)
    desk.build()
    before = {table: files_by_part(desk, table) for table in EVENT_TABLES}
    late = [
        trade(9001, "14:10:00.5", 101, 7, instrument="BOND_0"),
        trade(9002, "16:20:00", 99, 3, instrument="BOND_1"),
        trade(9003, "18:30:00", 100, 1, instrument="BOND_1"),
    ]
    desk.land("trades", late)
    record = desk.build()
    wanted = {("BOND_0", "2025-10-02T14"), ("BOND_1", "2025-10-02T16"), ("BOND_1", "2025-10-02T18")}
    for table in ("silver.trades_history", "gold.enriched_trades", *EVENT_TABLES):
        assert replaced(desk, record.build_id, table) == wanted, table
    assert replaced(desk, record.build_id, "gold.candles_1d") == {
        ("BOND_0", "2025-10-02T04"),
        ("BOND_1", "2025-10-02T04"),
    }
    assert replaced(desk, record.build_id, "gold.enriched_quotes") == set()
    for table in EVENT_TABLES:
        after = files_by_part(desk, table)
        rewritten = {part for part in after if after[part] != before[table].get(part)}
        assert rewritten == {"2025-10-02T14", "2025-10-02T16", "2025-10-02T18"}, table
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_a_select_build_in_between_loses_nothing(desk: Desk) -> None:
    fill(desk)
    desk.build()
    desk.land("trades", [trade(9001, "14:10:00.5", 101, 7, instrument="BOND_0")])
    desk.build("--select", "trades_history")
    desk.land("trades", [trade(9002, "15:10:00.5", 101, 7, instrument="BOND_2")])
    desk.build("--select", "candle_windows_1s")
    desk.build()
    incremental = desk.fingerprints()
    assert desk.query("select count(*) from gold.enriched_trades where trade_id like 'T900%'") == [
        (2,)
    ]
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


def test_a_build_without_news_publishes_nothing(desk: Desk) -> None:
    fill(desk)
    first = desk.build()
    assert desk.build().number == first.number


@pytest.mark.slow
def test_duplicates_that_land_later_change_no_gold(desk: Desk) -> None:
    fill(desk)
    first = desk.build()
    gold = {t: files_by_part(desk, t) for t in EVENT_TABLES}
    desk.land("trades", market(2, 600)[:50])
    second = desk.build()
    assert second.number == first.number + 1
    assert {t: files_by_part(desk, t) for t in EVENT_TABLES} == gold
    assert desk.query("select count(*) from silver.trade_duplicates") == [(50,)]


@pytest.mark.slow
def test_a_security_that_arrives_late_joins_the_trades_parked_for_it(desk: Desk) -> None:
    fill(desk)
    desk.build()
    parked = "select count(*) from gold.enriched_trades where is_parked"
    waiting = desk.query(parked)[0][0]
    assert (
        waiting
        == desk.query("select count(*) from gold.enriched_trades where instrument_id = 'BOND_3'")[
            0
        ][0]
    )
    desk.land("securities", [security(3, asOf="2025-10-05T00:00:00Z")])
    desk.build()
    assert desk.query(parked) == [(0,)]
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_a_back_dated_security_change_touches_only_the_hours_it_covers(desk: Desk) -> None:
    fill(desk)
    desk.land("securities", [security(0, asOf="2025-10-02T18:00:00Z", issuer="Later")])
    desk.build()
    desk.land("securities", [security(0, asOf="2025-10-02T15:00:00Z", issuer="Between")])
    record = desk.build()
    assert replaced(desk, record.build_id, "gold.enriched_trades") == {
        ("BOND_0", f"2025-10-02T{hour}") for hour in (15, 16, 17)
    }
    issuers = desk.query(
        "select distinct event_hour, issuer from gold.enriched_trades "
        "where instrument_id = 'BOND_0' order by all"
    )
    assert [issuer for _, issuer in issuers] == ["Issuer"] * 2 + ["Between"] * 3 + ["Later"] * 2
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_a_ranged_build_recomputes_its_days_and_leaves_the_pin(desk: Desk) -> None:
    fill(desk)
    first = desk.build()
    desk.land(
        "trades",
        [trade(9001, "14:10:00.5", 101, 7), trade(9002, "2025-10-03T14:00:00Z", 101, 7)],
    )
    ranged = desk.build(TICKLAKE_BUILD_FROM="2025-10-02", TICKLAKE_BUILD_TO="2025-10-03")
    assert ranged.pin == first.pin
    assert desk.query("select trade_id from silver.trades where trade_id like 'T900%'") == [
        ("T9001",)
    ]
    again = desk.build(TICKLAKE_BUILD_FROM="2025-10-02", TICKLAKE_BUILD_TO="2025-10-03")
    assert again.number == ranged.number
    whole = desk.build()
    assert whole.pin["trades"]["version"] == 2
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_a_ranged_build_stands_news_of_other_days_and_leaves_them_to_the_next(desk: Desk) -> None:
    fill(desk)
    desk.build()
    # 22:30 belongs to the FX session of the 3rd, and a security changes in an hour of the 3rd.
    news = [
        trade(9001, "22:30:00", 101, 7, instrument="EURUSD"),
        trade(9002, "2025-10-03T01:00:00Z", 101, 7, instrument="EURUSD"),
        trade(9003, "2025-10-03T01:00:00Z", 101, 7, instrument="USDJPY"),
        trade(9004, "2025-10-03T15:00:00Z", 101, 7),
    ]
    desk.land("trades", news)
    desk.land("securities", [security(0, asOf="2025-10-03T15:00:00Z", issuer="Later")])
    desk.build(TICKLAKE_BUILD_FROM="2025-10-02", TICKLAKE_BUILD_TO="2025-10-03")
    assert desk.query("select count(*) from silver.trades where trade_id = 'T9001'") == [(1,)]
    desk.build(TICKLAKE_BUILD_FROM="2025-10-03", TICKLAKE_BUILD_TO="2025-10-04")
    desk.build()
    assert [account for account in reconcile(desk.settings) if account.is_open] == []
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


@pytest.mark.slow
def test_a_lost_warehouse_is_rebuilt_from_bronze_and_publishes_nothing_new(desk: Desk) -> None:
    fill(desk)
    first = desk.build()
    shown = desk.fingerprints(leave_out=())
    desk.layout.warehouse.unlink()
    assert desk.build().number == first.number
    assert desk.fingerprints(leave_out=()) == shown


@pytest.mark.slow
def test_a_row_changed_behind_the_builds_back_is_put_right_by_a_ranged_build(desk: Desk) -> None:
    fill(desk)
    desk.build()
    shown = desk.fingerprints()
    import duckdb

    with duckdb.connect(str(desk.layout.warehouse)) as conn:
        conn.execute("delete from gold.candle_windows_1s where instrument_id = 'BOND_2'")
    desk.build(TICKLAKE_BUILD_FROM="2025-10-02", TICKLAKE_BUILD_TO="2025-10-03")
    assert desk.fingerprints() == shown


def test_the_largest_trade_that_the_contract_takes_does_not_stop_the_build(desk: Desk) -> None:
    desk.land("securities", [security(1, priceMultiplier="999999999")])
    huge = trade(1, "14:00:00", price="999999999.999999999", quantity="900000000.12345678")
    refused = trade(2, "14:00:00", price="999999999.999999999", quantity="9999999999")
    commit = desk.land("trades", [huge, refused])
    assert (commit.ok, commit.rejected) == (1, 1)
    desk.build()
    assert desk.query("select quantity, notional from silver.trades") == [
        (Decimal("900000000.12345678"), None)
    ]
