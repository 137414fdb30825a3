"""Forms that vendors give their rows: sides left out, dates in letters, units nobody names."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.feeds.mapping import Feed, FileRefused, load_feed
from ingestion.land import land_file
from lake.layout import layout
from lake.settings import Settings
from tests.bronze_rows import rows

NOON_US = 1_759_406_400_000_000  # 2025-10-02T12:00:00Z
NOON_NS = NOON_US * 1000
QUOTES = {
    "dataset": "quotes",
    "format": "csv",
    "header": False,
    "columns": {0: "event_ts_ns", 1: "bid_price", 2: "bid_size", 3: "offer_price", 4: "offer_size"},
    "constants": {"instrument_id": "AIG", "dealer_id": "NBBO"},
    "time": {"kind": "epoch", "unit": "us"},
}
BARS = {
    "dataset": "bars",
    "format": "csv",
    "header": False,
    "columns": dict(enumerate(["event_ts_ns", "open", "high", "low", "close", "volume"])),
    "constants": {"instrument_id": "AIG"},
    "file_name": {"patterns": ["(?P<interval>[^.]+)"]},
}

Land = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def landed(lake: Settings, tmp_path: Path) -> Land:
    """Lands a file under a mapping; gives the rows of bronze in the file's order."""

    def land(
        mapping: dict[str, Any], *lines: str, name: str = "vendor.csv"
    ) -> list[dict[str, Any]]:
        own = lake.local / "feeds" / "vendor.yml"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(yaml.safe_dump(mapping))
        path = tmp_path / name
        path.write_text("\n".join(lines))
        land_file(lake, path, "vendor")
        found = rows(layout(lake).bronze(mapping["dataset"]))
        return sorted(found, key=lambda row: row["position"])

    return land


def sides(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("side", "action", "price", "size", "bid_price", "bid_size", "offer_price")
    return tuple(row[name] for name in (*names, "offer_size", "reject_code"))


def test_a_side_of_zeros_is_not_in_its_row_where_the_feed_says_so(landed: Land) -> None:
    at = str(NOON_US)
    found = landed(
        {**QUOTES, "sides": "given"},
        f"{at},48.18,100,0,0",
        f"{at},,,49.1,300",
        f"{at},48.18,100,49.1,300",
        f"{at},0,0,0,0",
        f"{at},0,5,0,0",
        f"{at},48.18,0,0,0",
        f"{at},,,,",
    )
    bid, offer, nothing = Decimal("48.18"), Decimal("49.1"), (None,) * 4
    assert [sides(row) for row in found] == [
        ("BID", "UPDATE", bid, 100, *nothing, None),
        ("OFFER", "UPDATE", offer, 300, *nothing, None),
        (*nothing, bid, 100, offer, 300, None),
        (*nothing, *nothing, "SCHEMA_MISSING_FIELD"),
        ("BID", "UPDATE", 0, 5, *nothing, None),
        ("BID", "UPDATE", bid, 0, *nothing, None),
        (*nothing, *nothing, "SCHEMA_MISSING_FIELD"),
    ]
    assert found[3]["raw"] == f"{at},0,0,0,0".encode()
    assert found[3]["reject_message"] == "neither side is given: bid and offer are 0 or empty"


def test_a_side_of_zeros_stays_a_withdrawal_where_the_feed_says_nothing(landed: Land) -> None:
    (row,) = landed(QUOTES, f"{NOON_US},48.18,100,0,0")
    assert sides(row) == (None, None, None, None, Decimal("48.18"), 100, 0, 0, None)


def test_dates_in_letters_are_read_on_the_clock_of_their_zone(landed: Land) -> None:
    time = {"kind": "format", "format": "%d.%m.%Y %H:%M:%S%.f", "zone": "America/New_York"}
    bar = ",1,1,1,1,1"
    found = landed(
        {**BARS, "time": time},
        "02.10.2025 08:00:00.25" + bar,
        "15.01.2025 07:00:00" + bar,
        "02.11.2025 01:30:00" + bar,  # the clock shows it twice
        "09.03.2025 02:30:00" + bar,  # the clock skips it
        "2025-10-02 08:00:00" + bar,
        "01.01.1700 00:00:00" + bar,
        "01.01.0900 00:00:00" + bar,
        name="1m.csv",
    )
    assert [(row["event_ts_ns"], row["reject_code"]) for row in found] == [
        (NOON_NS + 250_000_000, None),
        (1_736_942_400_000_000_000, None),
        (None, "TS_OUT_OF_RANGE"),
        (None, "TS_OUT_OF_RANGE"),
        (None, "SCHEMA_TYPE"),
        (None, "TS_OUT_OF_RANGE"),
        (None, "TS_OUT_OF_RANGE"),
    ]


def test_an_offset_in_the_text_needs_no_zone(landed: Land) -> None:
    time = {"kind": "format", "format": "%Y-%m-%d %H:%M:%S %z"}
    (row,) = landed({**BARS, "time": time}, "2025-10-02 14:00:00 +0200,1,1,1,1,1", name="1m.csv")
    assert row["event_ts_ns"] == NOON_NS


@pytest.mark.parametrize(
    ("interval", "end", "start"),
    [
        ("1m", "2025-10-02T12:01:00Z", NOON_NS),
        ("1h", "2025-10-02T13:00:00Z", NOON_NS),
        # A day of 25 hours: the clocks of New York went back on 2 November.
        ("1d", "2025-11-03T05:00:00Z", 1_762_056_000_000_000_000),
    ],
)
def test_a_window_named_by_its_end_starts_its_length_earlier(
    landed: Land, interval: str, end: str, start: int
) -> None:
    time = {"kind": "iso", "zone": "America/New_York", "label": "end"}
    (row,) = landed({**BARS, "time": time}, f"{end},1,1,1,1,1", name=f"{interval}.csv")
    assert (row["interval"], row["event_ts_ns"]) == (interval, start)


def test_an_interval_that_is_none_is_left_for_the_contract_to_judge(landed: Land) -> None:
    time = {"kind": "iso", "label": "end"}
    (row,) = landed({**BARS, "time": time}, "2025-10-02T12:01:00Z,1,1,1,1,1", name="soon.csv")
    assert row["reject_code"] == "SCHEMA_TYPE"


AUTO = {**QUOTES, "time": {"kind": "epoch", "unit": "auto"}}


@pytest.mark.parametrize(
    ("noon", "expected"),
    [
        ("1759406400", NOON_NS),
        ("1759406400123", NOON_NS + 123_000_000),
        ("1759406400123456", NOON_NS + 123_456_000),
        ("1759406400123456789", NOON_NS + 123_456_789),
    ],
)
def test_what_epochs_count_in_is_told_by_their_size(landed: Land, noon: str, expected: int) -> None:
    assert landed(AUTO, f"{noon},1,1,2,2")[0]["event_ts_ns"] == expected


def test_one_wrong_row_does_not_decide_the_unit_of_a_file(landed: Land) -> None:
    good = f"{NOON_US},1,1,2,2"
    found = landed(AUTO, "1,1,1,2,2", "soon,1,1,2,2", "x", good, good, good)
    assert [row["reject_code"] for row in found] == [
        "TS_OUT_OF_RANGE", "SCHEMA_TYPE", "PARSE_ERROR", None, None, None,
    ]  # fmt: skip
    assert found[-1]["event_ts_ns"] == NOON_NS


def test_a_file_without_one_readable_time_is_refused(landed: Land) -> None:
    with pytest.raises(FileRefused, match="none of the first 1 times is a whole number"):
        landed(AUTO, "soon,1,1,2,2")


def test_a_header_that_may_be_there_is_no_row(landed: Land) -> None:
    mapping = {**QUOTES, "header_lines": ["time,bid,bs,ask,as", "t,b,bs,a,as"]}
    (row,) = landed(mapping, "t,b,bs,a,as", f"{NOON_US},1,1,2,2")
    assert (row["position"], row["reject_code"]) == (0, None)


def test_a_first_line_that_nobody_named_is_a_row_and_kept(landed: Land) -> None:
    found = landed({**QUOTES, "header_lines": ["t,b,bs,a,as"]}, "T,B,BS,A,AS", f"{NOON_US},1,1,2,2")
    assert [(row["position"], row["reject_code"]) for row in found] == [
        (0, "SCHEMA_TYPE"),
        (1, None),
    ]


def test_a_decimal_comma_is_read_and_a_point_beside_it_is_not_guessed_at(landed: Land) -> None:
    mapping = {**QUOTES, "separator": ";", "decimal_mark": ","}
    at = str(NOON_US)
    found = landed(mapping, f"{at};99,50;10;99;1,5", f"{at};1.099,50;1;2;1", f"{at};99.50;1;2;1")
    assert sides(found[0])[4:] == (Decimal("99.5"), 10, 99, Decimal("1.5"), None)
    assert [row["reject_message"] for row in found[1:]] == [
        "column 1: '1.099,50 where the decimal mark is ,' is not a number",
        "column 1: '99.50 where the decimal mark is ,' is not a number",
    ]


def test_a_code_may_mean_that_nothing_is_there(tmp_path: Path) -> None:
    path = tmp_path / "vendor.yml"
    path.write_text(yaml.safe_dump({**QUOTES, "values": {"quote_type": {"-": None}}}))
    feed: Feed = load_feed(path, "vendor")
    assert feed.values["quote_type"]["-"] is None
