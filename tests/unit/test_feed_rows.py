"""Rows of mapped files: exact values, and one bad row never costs its neighbours."""

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from ingestion.batch import Decoded
from ingestion.feeds.binding import bind_indexes, bind_names
from ingestion.feeds.catalog import find_feed
from ingestion.feeds.mapping import Feed, load_feed
from ingestion.feeds.text import decode_csv, decode_objects
from lake.settings import Settings, load_settings

LIMIT = 262_144
MAPPING: dict[str, Any] = {
    "dataset": "trades",
    "format": "csv",
    "columns": {
        "id": "trade_id",
        "symbol": "instrument_id",
        "px": "price",
        "qty": "quantity",
        "at": "event_ts_ns",
        "side": "side",
    },
    "values": {"side": {"BUY": "B", "SELL": "S"}},
    "time": {"kind": "epoch", "unit": "us"},
}
HEADER = ["id", "symbol", "px", "qty", "at", "side"]
NOON_US = 1_759_406_400_000_000  # 2025-10-02T12:00:00Z
ROW = f"T1,BOND_12345,99.60,250000,{NOON_US},BUY"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


@pytest.fixture
def feed_of(tmp_path: Path) -> Callable[[dict[str, Any]], Feed]:
    def write(content: dict[str, Any]) -> Feed:
        path = tmp_path / "vendor.yml"
        path.write_text(yaml.safe_dump(content))
        return load_feed(path, "vendor")

    return write


def decode(feed: Feed, *lines: str | bytes, header: Sequence[str] = HEADER) -> Decoded:
    bound = bind_names(feed, header, {}, "here")
    return decode_csv(bound, [x.encode() if isinstance(x, str) else x for x in lines], LIMIT)


def codes(decoded: Decoded) -> dict[int, str]:
    return dict(zip(decoded.rejects["i"], decoded.rejects["code"], strict=True))


def test_a_mapped_row_becomes_canonical_columns(feed_of: Callable[[dict[str, Any]], Feed]) -> None:
    decoded = decode(feed_of(MAPPING), ROW)
    row = decoded.frame.row(0, named=True)
    assert row["trade_id"] == "T1"
    assert row["instrument_id"] == "BOND_12345"
    assert row["price"] == Decimal("99.6")
    assert row["quantity"] == Decimal(250000)
    assert row["event_ts_ns"] == NOON_US * 1000
    assert row["side"] == "B"
    assert row["venue"] is None


def test_each_poison_line_is_rejected_alone_with_its_code(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    poison = {
        "T1,X,99.6": "PARSE_ERROR",
        ROW + ",more": "PARSE_ERROR",
        "": "PARSE_ERROR",
        'T1,"X,99.6,1,1,BUY': "PARSE_ERROR",
        b"T1,\xff\xfe,99.6,1,1,BUY": "PARSE_ERROR",
        ROW.replace("T1", "T" * LIMIT): "PARSE_ERROR",
        ROW.replace("99.60", "abc"): "SCHEMA_TYPE",
        ROW.replace("99.60", "99.1234567891"): "SCHEMA_TYPE",
        ROW.replace("99.60", "NaN"): "NON_FINITE",
        ROW.replace("250000", "-Infinity"): "NON_FINITE",
        ROW.replace(str(NOON_US), "noon"): "SCHEMA_TYPE",
    }
    lines: list[str | bytes] = [ROW]
    for line in poison:
        lines += [line, ROW]
    decoded = decode(feed_of(MAPPING), *lines)
    assert decoded.frame["i"].to_list() == list(range(0, len(lines), 2))
    assert codes(decoded) == dict(zip(range(1, len(lines), 2), poison.values(), strict=True))


def test_an_unmapped_code_is_left_for_the_contract_to_judge(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    assert decode(feed_of(MAPPING), ROW.replace("BUY", "SHORT")).frame["side"][0] == "SHORT"


def test_quoted_fields_keep_their_separators_and_quotes(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    line = f'T1,"A ""B"", C",99.6,1,{NOON_US},SELL'
    decoded = decode(feed_of(MAPPING), ROW, line, ROW)
    assert decoded.frame["instrument_id"].to_list() == ["BOND_12345", 'A "B", C', "BOND_12345"]
    assert decoded.frame["i"].to_list() == [0, 1, 2]


def test_a_batch_of_nothing_but_poison_gives_no_row(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    decoded = decode(feed_of(MAPPING), "a", b"\xff", "")
    assert decoded.frame.is_empty()
    assert codes(decoded) == {0: "PARSE_ERROR", 1: "PARSE_ERROR", 2: "PARSE_ERROR"}


def test_tickers_that_look_like_nulls_or_numbers_stay_text(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    names = ["NA", "TRUE", "NAN", "null", "007", "1e5"]
    decoded = decode(feed_of(MAPPING), *(ROW.replace("BOND_12345", name) for name in names))
    assert decoded.frame["instrument_id"].to_list() == names


def test_an_empty_cell_is_null_and_so_is_what_the_mapping_names(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    feed = feed_of({**MAPPING, "nulls": ["", "N/A"]})
    decoded = decode(feed, ROW.replace("T1", "N/A"), ROW.replace("T1", ""))
    assert decoded.frame["trade_id"].to_list() == [None, None]


def test_constants_and_separators_are_the_mappings_own(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    feed = feed_of({**MAPPING, "separator": ";", "constants": {"venue": "XNYS", "version": "2"}})
    row = decode(feed, ROW.replace(",", ";")).frame.row(0, named=True)
    assert (row["venue"], row["version"], row["price"]) == ("XNYS", 2, Decimal("99.6"))


@pytest.mark.parametrize("seed", range(4))
def test_random_csv_equals_what_pythons_own_csv_and_decimal_read(
    feed_of: Callable[[dict[str, Any]], Feed], seed: int
) -> None:
    rng = random.Random(seed)
    rows = []
    for number in range(300):
        name = "".join(rng.choice('AB,"; é') for _ in range(rng.randrange(1, 8))) + "x"
        price = f"{rng.randrange(1, 10**6)}.{rng.randrange(10**9):09d}".rstrip("0") + "0"
        at = rng.randrange(NOON_US)
        rows.append([f"T{number}", name, price[:16], str(rng.randrange(10**9)), str(at), "BUY"])
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    decoded = decode(feed_of(MAPPING), *out.getvalue().splitlines())
    assert decoded.rejects.is_empty()
    found = decoded.frame.select(
        "trade_id", "instrument_id", "price", "quantity", "event_ts_ns", "side", "i"
    )
    assert found.rows() == [
        (key, name, Decimal(price), Decimal(size), int(at) * 1000, "B", place)
        for place, (key, name, price, size, at, _) in enumerate(rows)
    ]


@pytest.mark.parametrize("day", [date(2013, 3, 10), date(2013, 7, 1), date(2013, 11, 3)])
def test_lean_times_and_prices_equal_an_independent_reading(settings: Settings, day: date) -> None:
    feed = find_feed(settings, "lean_trades")
    rng = random.Random(day.toordinal())
    lines, expected, lost = [], [], set()
    zone = ZoneInfo("America/New_York")
    for place in range(300):
        milliseconds = rng.randrange(86_400_000) if place % 2 else rng.randrange(4 * 3_600_000)
        price = rng.randrange(1, 10**9)
        lines.append(f"{milliseconds},{price},100,P,2000,{place % 2}".encode())
        wall = datetime.combine(day, datetime.min.time()) + timedelta(milliseconds=milliseconds)
        utc = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        if len(utc) != 1:
            lost.add(place)
            continue
        since = utc.pop() - datetime(1970, 1, 1, tzinfo=UTC)
        event = (since // timedelta(milliseconds=1)) * 1_000_000
        expected.append((event, Decimal(price) / 10_000, Decimal(100), "P", "2000", place % 2 == 1))
    parameters = {"date": day.isoformat(), "instrument_id": "AIG"}
    decoded = decode_csv(bind_indexes(feed, parameters), lines, LIMIT)
    columns = ["event_ts_ns", "price", "quantity", "venue", "conditions", "is_suspicious"]
    assert decoded.frame.select(columns).rows() == expected
    assert codes(decoded) == dict.fromkeys(lost, "TS_OUT_OF_RANGE")
    assert bool(lost) == (day.month != 7)
    assert set(decoded.frame["instrument_id"]) == {"AIG"}


def test_columns_listed_as_ignored_are_left_out(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    for ignore in (["fee"], "all"):
        feed = feed_of({**MAPPING, "ignore": ignore})
        decoded = decode(feed, ROW + ",0.1", header=[*HEADER, "fee"])
        assert decoded.frame["price"].to_list() == [Decimal("99.6")]


def test_generic_feeds_take_wire_names_and_canonical_names(settings: Settings) -> None:
    feed = find_feed(settings, "generic_trades")
    wire = ["tradeId", "instrumentId", "price", "quantity", "timestamp", "buySellIndicator"]
    own = ["trade_id", "instrument_id", "price", "quantity", "event_ts_ns", "side"]
    iso = decode(feed, "T1,X,1.5,2,2025-10-02T12:00:00Z,B", header=wire)
    milliseconds = decode(feed, f"T1,X,1.5,2,{NOON_US // 1000},B", header=wire)
    nanoseconds = decode(feed, f"T1,X,1.5,2,{NOON_US * 1000},B", header=own)
    assert iso.frame.rows() == milliseconds.frame.rows() == nanoseconds.frame.rows()
    assert iso.frame["event_ts_ns"].to_list() == [NOON_US * 1000]


def test_a_vendors_json_lines_are_mapped_and_judged_one_by_one(
    feed_of: Callable[[dict[str, Any]], Feed],
) -> None:
    feed = feed_of({**MAPPING, "format": "jsonl", "ignore": ["fee"]})
    good = {"id": "T1", "symbol": "X", "px": 99.6, "qty": "5", "at": NOON_US, "side": "BUY"}
    lines = [
        json.dumps({**good, "fee": {"any": [1]}}),
        json.dumps({**good, "new": 1}),
        json.dumps({**good, "id": 1}),
        json.dumps({**good, "px": [1]}),
        json.dumps(good)[:-1] + ',"px":1}',
        json.dumps({**good, "px": float("nan")}),
        "[1]",
        "{",
        json.dumps({"symbol": "X", "px": 1e-3}),
    ]
    bound = bind_names(feed, HEADER, {}, "here")
    decoded = decode_objects(bound, [line.encode() for line in lines], LIMIT)
    assert decoded.frame.select("i", "trade_id", "price", "quantity", "side").rows() == [
        (0, "T1", Decimal("99.6"), Decimal(5), "B"),
        (8, None, Decimal("0.001"), None, None),
    ]
    assert codes(decoded) == {
        1: "SCHEMA_TYPE",
        2: "SCHEMA_TYPE",
        3: "SCHEMA_TYPE",
        4: "PARSE_ERROR",
        5: "NON_FINITE",
        6: "SCHEMA_TYPE",
        7: "PARSE_ERROR",
    }
