"""The oracle against the figures of the definitions (analytics.md) and against hand counting."""

import ast
import csv
import io
import os
import zipfile
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests import oracle, oracle_contract
from tests.oracle import Delivered, Row

NOON = 1_759_406_400_000_000_000  # 2025-10-02T12:00:00Z
MS = 1_000_000
TRADE = (
    '{"tradeId":"TRD_98765","instrumentId":"BOND_12345","price":99.60,"quantity":250000,'
    '"timestamp":"2025-10-02T12:00:01Z","buySellIndicator":"B"}'
)
QUOTE = (
    '{"instrumentId":"BOND_12345","dealerId":"DEALER_001","bidPrice":99.50,"offerPrice":99.75,'
    '"bidSize":1000000,"offerSize":500000,"timestamp":"2025-10-02T12:00:00Z"}'
)
SECURITY = (
    '{"instrumentId":"BOND_12345","securityName":"A 5 % 2030","cusip":"037833100",'
    '"isin":"US0378331005","marketSegment":"HG","issuer":"A"}'
)
SAMPLE = {"trades": TRADE, "quotes": QUOTE, "securities": SECURITY}


def code_of(dataset: str, text: str | bytes, recv_ts_ns: int = NOON + 60_000 * MS) -> str | None:
    raw = text.encode() if isinstance(text, str) else text
    return oracle.judge(dataset, Delivered("kafka:t/0", 0, recv_ts_ns, raw)).code


def trade(position: int = 0, *, unit: str = "kafka:t/0", recv: int = NOON, source: str = "t",
          delivery: str | None = None, **values: Any) -> Row:  # fmt: skip
    known = {"instrument_id": "X", "price": Decimal(100), "quantity": Decimal(1), "side": "B",
             "event_ts_ns": NOON}  # fmt: skip
    return Row(unit, position, recv, source, delivery, {**known, **values})


def print_of_file(file: str, row: int, price: str) -> Row:
    return trade(row, unit=f"file:{file}", delivery=f"file:{file}", price=Decimal(price))


def prices(rows: Iterable[Row]) -> list[str]:
    return sorted(str(row["price"]) for row in rows)


def test_the_oracle_imports_nothing_of_what_it_judges() -> None:
    allowed = {"json", "re", "collections", "dataclasses", "datetime", "decimal", "typing",
               "zoneinfo", "tests"}  # fmt: skip
    for module in (oracle, oracle_contract):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names}  # fmt: skip
        named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in named} <= allowed


@pytest.mark.parametrize("dataset", SAMPLE)
def test_the_samples_of_the_spec_keep_the_contract(dataset: str) -> None:
    assert code_of(dataset, SAMPLE[dataset]) is None


@pytest.mark.parametrize(
    ("dataset", "old", "new", "code"),
    [
        ("trades", "99.60", "-99.60", "PRICE_NOT_POSITIVE"),
        ("trades", "99.60", "0", "PRICE_NOT_POSITIVE"),
        ("trades", "250000", "0", "QTY_NOT_POSITIVE"),
        ("trades", "99.60", "NaN", "NON_FINITE"),
        ("trades", "99.60", '"Infinity"', "NON_FINITE"),
        ("trades", "99.60", '"abc"', "SCHEMA_TYPE"),
        ("trades", "99.60", "true", "SCHEMA_TYPE"),
        ("trades", "99.60", "99.1234567891", "SCHEMA_TYPE"),
        ("trades", "99.60", "1." + "0" * 40 + "1", "SCHEMA_TYPE"),
        ("trades", "99.60", "1e9", "SCHEMA_TYPE"),
        ("trades", "99.60", '"99.60"', None),
        ("trades", "99.60", "1e-9", None),
        ("trades", '"TRD_98765"', "123", "SCHEMA_TYPE"),
        ("trades", '"TRD_98765"', "null", None),
        ("trades", '"B"', '"X"', "UNKNOWN_SIDE"),
        ("trades", '"B"', '"B","status":"OLD"', "SCHEMA_TYPE"),
        ("trades", '"B"', '"B","colour":"red"', "SCHEMA_TYPE"),
        ("trades", '"B"', '"B","price":1', "PARSE_ERROR"),
        ("trades", ',"quantity":250000', "", "SCHEMA_MISSING_FIELD"),
        ("trades", "99.60", "null", "SCHEMA_MISSING_FIELD"),
        ("trades", '"BOND_12345"', '""', "SCHEMA_MISSING_FIELD"),
        ("trades", "2025-10-02T12:00:01Z", "2025-10-02T12:00:01", "TS_OUT_OF_RANGE"),
        ("trades", "2025-10-02T12:00:01Z", "1989-12-31T23:59:59.999Z", "TS_OUT_OF_RANGE"),
        ("trades", "2025-10-02T12:00:01Z", "2025-10-02T12:01:05.000Z", None),
        ("trades", "2025-10-02T12:00:01Z", "2025-10-02T12:01:05.001Z", "FUTURE_TS"),
        ("trades", "2025-10-02T12:00:01Z", "2025-10-02T14:01:05+02:00", None),
        ("trades", "2025-10-02T12:00:01Z", "noon", "SCHEMA_TYPE"),
        ("trades", '"B"}', '"B"', "PARSE_ERROR"),
        ("quotes", "99.50", "-0.01", "PRICE_NOT_POSITIVE"),
        ("quotes", "99.50", "0", None),
        ("quotes", "99.50", "null", None),
        ("quotes", "1000000", "-1", "QTY_NEGATIVE"),
        ("quotes", '"bidSize":1000000', '"side":"B"', "UNKNOWN_SIDE"),
        ("securities", '"HG"', '"HG","tickSize":0', "PRICE_NOT_POSITIVE"),
        ("securities", ',"issuer":"A"', "", "SCHEMA_MISSING_FIELD"),
    ],
)
def test_a_record_that_breaks_one_rule_gets_its_code(
    dataset: str, old: str, new: str, code: str | None
) -> None:
    assert SAMPLE[dataset].count(old) == 1
    assert code_of(dataset, SAMPLE[dataset].replace(old, new)) == code


@pytest.mark.parametrize("raw", [b"", b"\xff" + TRADE.encode(), b"{" + b" " * 300_000 + b"}"])
def test_what_is_not_a_record_is_a_parse_error(raw: bytes) -> None:
    assert code_of("trades", raw) == "PARSE_ERROR"


def test_values_are_exact() -> None:
    text = TRADE.replace("99.60", "0.000000001").replace("01Z", "01.123456789Z")
    row = oracle.judge("trades", Delivered("u", 0, NOON + 10**12, text.encode())).row
    assert row is not None
    assert row["price"] == Decimal(1).scaleb(-9)
    assert row["event_ts_ns"] == NOON + 1_123_456_789


def test_golden_g1_of_the_candles() -> None:
    prints = [
        trade(3, event_ts_ns=NOON + 900 * MS, price=Decimal(100), quantity=Decimal(4), sequence=4),
        trade(2, event_ts_ns=NOON, price=Decimal(101), quantity=Decimal(2), sequence=2),
        trade(1, event_ts_ns=NOON + 400 * MS, price=Decimal(99), quantity=Decimal(1), sequence=3),
        trade(0, event_ts_ns=NOON, price=Decimal(100), quantity=Decimal(1), sequence=1),
    ]
    (candle,) = oracle.candles(prints, "1s").values()
    assert [candle.open, candle.high, candle.low, candle.close] == [100, 101, 99, 100]
    assert candle.volume == 8
    assert candle.trade_count == 4
    assert candle.vwap == Decimal("100.125")


def test_open_and_close_do_not_depend_on_arrival() -> None:
    named = [trade(p, trade_id=name, price=Decimal(name)) for p, name in enumerate(["10", "9"])]
    (candle,) = oracle.candles(named, "1s").values()
    assert [candle.open, candle.close] == [9, 10]  # ids are numbers here, not text


def test_a_day_is_the_new_york_session_and_starts_at_local_midnight() -> None:
    late = int(datetime(2025, 11, 3, 4, 59, tzinfo=UTC).timestamp()) * 10**9
    assert oracle.session_date(late) == date(2025, 11, 2)
    midnight = datetime(2025, 11, 2, tzinfo=ZoneInfo("America/New_York"))  # still summer time
    assert oracle.window_start(late, "1d") == int(midnight.timestamp()) * 10**9


def test_an_id_names_one_event_wherever_it_is_delivered() -> None:
    first = trade(7, trade_id="A", unit="kafka:t/1", recv=NOON)
    again = trade(2, trade_id="A", unit="kafka:t/0", recv=NOON + 1)
    other_day = trade(3, trade_id="A", event_ts_ns=NOON + 24 * 3600 * 10**9)
    other_venue = trade(4, trade_id="A", venue="V")
    correction = trade(5, trade_id="A", status="CORRECT", version=2)
    events, duplicates = oracle.deduplicate([again, other_day, first, other_venue, correction])
    assert duplicates == [again]
    assert first in events
    assert len(events) == 4


def test_a_sequence_number_names_an_event_that_has_no_id() -> None:
    rows = [trade(0, sequence=5), trade(1, sequence=5), trade(2, sequence=6)]
    assert [row.position for row in oracle.deduplicate(rows)[1]] == [1]


def test_equal_rows_of_one_file_are_different_events() -> None:
    rows = [print_of_file("a", row, "1.10") for row in range(3)]
    assert oracle.deduplicate(rows) == (rows, [])


def test_overlapping_files_merge_with_the_greater_multiplicity() -> None:
    one = [print_of_file("a", row, price) for row, price in enumerate(["1.1", "1.1", "2"])]
    two = [print_of_file("b", row, price) for row, price in enumerate(["1.10", "2", "2", "3"])]
    events, duplicates = oracle.deduplicate([*two, *one])
    assert prices(events) == ["1.1", "1.1", "2", "2", "3"]
    assert prices(duplicates) == ["1.10", "2"]


def test_a_partition_log_that_names_no_batches_repeats_nothing() -> None:
    rows = [
        trade(position, unit=unit) for unit in ("kafka:t/0", "kafka:t/1") for position in (0, 1)
    ]
    assert oracle.deduplicate(rows)[1] == []


def test_the_highest_version_stands_and_cancelled_trades_are_gone() -> None:
    rows = [
        trade(0, trade_id="A", version=1),
        trade(1, trade_id="B", version=2, status="CORRECT", ref_trade_id="A", price=Decimal(7)),
        trade(2, trade_id="C", version=1),
        trade(3, trade_id="C", version=2, status="CANCEL"),
        trade(4, trade_id="D", version=2, status="CORRECT", ref_trade_id="unseen"),
        trade(5),
    ]
    assert [row.position for row in oracle.current_trades(rows)] == [1, 5]


def security(position: int, as_of: int, issuer: str, recv: int = NOON) -> Row:
    values = {"instrument_id": "X", "event_ts_ns": as_of, "issuer": issuer}
    return Row("kafka:s/0", position, recv, "s", None, values)


def test_history_follows_business_time_and_takes_late_changes() -> None:
    issuer = oracle.TRACKED.index("issuer")
    rows = [
        security(0, 100, "A"),
        security(1, 300, "B"),
        security(2, 400, "B"),  # changes nothing
        security(3, 200, "C", NOON + 1),  # late: splits what A covered
        security(4, 300, "D", NOON + 2),  # as of the same moment as B: the last landed counts
    ]
    (history,) = oracle.securities_history(rows).values()
    assert [(v.valid_from_ns, v.valid_to_ns, v.attributes[issuer], v.is_assumed) for v in history] \
        == [(0, 200, "A", True), (200, 300, "C", False), (300, 400, "D", False),
            (400, None, "B", False)]  # fmt: skip


def test_missing_repeated_and_foreign_positions_are_found() -> None:
    landed = [("a", 0), ("a", 2), ("a", 2), ("b", 0), ("c", 0)]
    assert oracle.wrong_positions(landed, {"a": 3, "b": 1, "d": 1}) == {
        "a": ([1], [2]),
        "c": ([], [0]),
        "d": ([0], []),
    }


def aig_prints(path: Path) -> list[Row]:
    """The LEAN sample: ms since New York midnight, price in 1/10,000; the row breaks ties."""
    midnight = datetime(2013, 10, 8, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    start = int(midnight.timestamp()) * 10**9
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return [
        trade(
            number,
            unit="file:aig",
            delivery="file:aig",
            event_ts_ns=start + int(row[0]) * MS,
            price=Decimal(row[1]).scaleb(-4),
            quantity=Decimal(row[2]),
            venue=row[3],
            conditions=row[4],
        )
        for number, row in enumerate(csv.reader(io.StringIO(text)))
    ]


def test_the_real_day_gives_the_published_figures() -> None:
    folder = os.environ.get("TICKLAKE_REAL_DATA")
    if not folder:
        pytest.skip("TICKLAKE_REAL_DATA names no folder with the LEAN samples")
    rows = aig_prints(next(Path(folder).rglob("lean_aig_20131008_tick_trade.zip")))
    events, duplicates = oracle.deduplicate(rows)
    assert (len(events), len(duplicates)) == (43_342, 0)
    minutes = oracle.candles(events, "1m")
    assert len(minutes) == 429
    assert len(oracle.candles(events, "1s")) == 8_078
    (day,) = oracle.candles(events, "1d").values()
    assert day.volume == 8_774_223
    assert round(day.vwap, 8) == Decimal("48.17029034")
    assert sum(candle.volume for candle in minutes.values()) == day.volume
    # overlapping halves under other names: the union is the whole again
    halves = [
        Row(f"file:{name}", row.position, NOON + later, "t", f"file:{name}", row.values)
        for name, later, part in (("one", 0, rows[:30_000]), ("two", 1, rows[25_000:]))
        for row in part
    ]
    merged, repeated = oracle.deduplicate(halves)
    assert (len(merged), len(repeated)) == (43_342, 5_000)
