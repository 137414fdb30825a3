"""What was replayed is built as if it had been right from the start, and the accounts close."""

from pathlib import Path
from typing import Any

import pytest

from checks.reconcile import reconcile
from contracts import registry
from ingestion.land import land_batch
from ingestion.replay import replay
from lake import ledger
from tests.desk import Desk, trade
from tests.growing import WITH_DESK, under

TOPIC = "market.trades.v1"
UNIT = f"kafka:test/{TOPIC}/0"
RECV_NS = 1_759_500_000_000_000_000  # 2025-10-03T14:00:00Z

EARLY = [
    trade(1, "12:00:01", 100, 3),
    {**trade(2, "12:00:02", 104, 5), "desk": "rates"},
    b"no json",
    trade(3, "12:00:02", 101, 7),
    {**trade(4, "13:00:00", 90, 2, instrument="BOND_2"), "desk": "credit"},
]
LATE = [
    {**trade(5, "11:59:59", 99, 11), "desk": "rates"},
    trade(6, "14:00:00", 102, 1, instrument="BOND_2"),
    {**trade(2, "12:00:02", 104, 5), "desk": "rates"},  # a copy of the second
]
CANDLES = [f"gold.candles_{width}" for width in ("1s", "10s", "1m", "1h", "1d")]
SILVER = """
select trade_id, instrument_id, price, quantity, event_ts_ns, recv_ts_ns, source, unit, position,
    trade_key, tie_order, notional, is_duplicate, duplicate_by
from silver.trades_history order by all
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


def land(desk: Desk, records: list[Any]) -> None:
    desk.land("trades", records, unit=UNIT, source=TOPIC, recv_ns=RECV_NS)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Desk:
    """The lake in which the contract knew the desk from the start."""
    desk = Desk(tmp_path_factory.mktemp("straight"), target)
    with under(WITH_DESK):
        land(desk, EARLY)
        land(desk, LATE)
        desk.build()
    return desk


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Desk:
    """The lake in which the trades of desks were rejected, built, replayed and built again."""
    desk = Desk(tmp_path_factory.mktemp("mended"), target)
    land(desk, EARLY)
    land(desk, LATE)
    desk.build()
    with under(WITH_DESK):
        (done,) = replay(desk.settings)
        assert (done.examined, done.passed, done.still) == (5, 4, {"PARSE_ERROR": 1})
        desk.build()
    return desk


@pytest.mark.slow
def test_candles_are_those_of_a_lake_where_it_was_right_from_the_start(
    mended: Desk, straight: Desk
) -> None:
    for table in CANDLES:
        expected = straight.query(f"select * from {table} order by all")
        assert mended.query(f"select * from {table} order by all") == expected, table
        assert expected, table


def test_a_candle_counts_replayed_trades_once_and_in_their_order(mended: Desk) -> None:
    (day,) = mended.query(
        "select open, high, low, close, volume, trade_count from gold.candles_1d "
        "where session_scope = 'all' and instrument_id = 'BOND_1'"
    )
    assert [int(value) for value in day] == [99, 104, 99, 101, 3 + 5 + 7 + 11, 4]


@pytest.mark.slow
def test_silver_is_that_of_a_lake_where_it_was_right_from_the_start(
    mended: Desk, straight: Desk
) -> None:
    assert mended.query(SILVER) == straight.query(SILVER)


def test_silver_knows_a_replayed_row_by_where_it_came_from(mended: Desk) -> None:
    copies = mended.query("select trade_id, unit, position from silver.trade_duplicates")
    assert copies == [("T2", UNIT, 7)]


def test_a_build_after_a_replay_rebuilds_the_touched_hours_and_no_others(mended: Desk) -> None:
    (last,) = mended.query("select max(build_id) from audit.dirty")
    hours = mended.query(
        "select distinct instrument_id, strftime(hour, '%H') from audit.dirty where build_id = "
        f"'{last[0]}' and model = 'bronze.trades' order by all"
    )
    assert hours == [("BOND_1", "11"), ("BOND_1", "12"), ("BOND_2", "13")]


def test_every_account_closes_and_records_are_consumed_once(mended: Desk) -> None:
    accounts = reconcile(mended.settings)
    assert [account for account in accounts if account.is_open] == []
    sides = {account.name: (account.left, account.right) for account in accounts
             if account.scope == "trades"}  # fmt: skip
    assert sides["consumed = ok + rejected"] == (8, 8)
    assert sides["replayed = ok"] == sides["replayed = answered in quarantine"] == (4, 4)
    assert sides["ok = silver + duplicates + filtered"] == (7, 7)
    assert sides["ok = silver + duplicates + filtered, quantity"] == (34, 34)


def test_the_published_quarantine_shows_what_became_of_each_record(mended: Desk) -> None:
    shown = mended.query(
        "select unit, position, reject_code, state, replayed_at is not null, "
        "replayed_batch = (select max(batch) from ledger.commits) from quarantine.trades order by 2"
    )
    assert shown == [
        (UNIT, 1, "SCHEMA_TYPE", "replayed", True, True),
        (UNIT, 2, "PARSE_ERROR", "open", False, None),
        (UNIT, 4, "SCHEMA_TYPE", "replayed", True, True),
        (UNIT, 5, "SCHEMA_TYPE", "replayed", True, True),
        (UNIT, 7, "SCHEMA_TYPE", "replayed", True, True),
    ]


@pytest.mark.slow
def test_a_row_that_is_replayed_twice_opens_the_account_and_stops_publication(
    mended: Desk,
) -> None:
    """By hand, past the fence: what no replay of ours can do."""
    import polars as pl

    from contracts.trades import CONTRACT
    from ingestion.batch import Batch
    from ingestion.decode import decode_json
    from lake.bronze import BronzeWriter, Span

    raw = [b'{"tradeId":"T9","instrumentId":"BOND_1","price":100,"quantity":1,'
           b'"timestamp":"2025-10-02T12:00:09Z","buySellIndicator":"B"}']  # fmt: skip
    origin = {"recv_ts_ns": [RECV_NS], "unit": [f"replay:{UNIT}"], "position": [1],
              "delivery_unit": pl.Series([None], dtype=pl.String)}  # fmt: skip
    span = Span(f"replay:{UNIT}", 0, 2, 1)
    batch = Batch(registry.get("trades"), TOPIC, pl.DataFrame(origin), [span],
                  lambda places: [raw[place] for place in places],
                  lambda: decode_json(CONTRACT, raw, 10_000))  # fmt: skip
    land_batch(BronzeWriter(CONTRACT, mended.layout), batch)
    ledger.append_new(mended.layout)
    before = mended.query("select number from audit.publication")
    mended.dbt("build", expect=False)
    assert mended.query("select number from audit.publication") == before
    (line,) = (account for account in reconcile(mended.settings) if account.is_open)
    assert line.name.startswith("replay account")
    assert line.difference == 1
