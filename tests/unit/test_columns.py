"""Text to canonical columns: points shifted, clocks read, nothing rounded."""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from ingestion.columns import number_to_ns, since_midnight_to_ns, text_to_ns, to_decimal


def test_a_shifted_number_moves_its_point_and_nothing_else() -> None:
    text = pl.Series(["488000", "-5", "0", "4880.55", "4.8e5", None, "NaN", "x", "100000000000000"])
    shifted = to_decimal(text, pl.Decimal(18, 9), 4)
    values = ["48.8", "-0.0005", "0", "0.488055", "48", None, None, None, None]
    assert shifted.values.to_list() == [None if v is None else Decimal(v) for v in values]
    assert [(row, code.value) for row, code, _ in shifted.refused] == [
        (6, "NON_FINITE"),
        (7, "SCHEMA_TYPE"),
        (8, "SCHEMA_TYPE"),
    ]


def test_epoch_numbers_may_have_decimals_down_to_the_nanosecond() -> None:
    converted = number_to_ns(pl.Series(["1.5", "-0.5", "1e3", "0.0000001", "x", None]), "ms")
    assert converted.values.to_list() == [1_500_000, -500_000, 1_000_000_000, None, None, None]
    assert [row for row, _, _ in converted.refused] == [3, 4]


def test_times_of_day_follow_the_clock_of_their_zone_through_a_change_of_the_hour() -> None:
    spring = date(2013, 3, 10)  # New York: 02:00 is 03:00, UTC-5 becomes UTC-4
    hours = pl.Series([str(hour * 3_600_000) for hour in (1, 2, 3)] + ["9000000"])
    converted = since_midnight_to_ns(hours, "ms", spring, "America/New_York")
    utc = [datetime(2013, 3, 10, 6, tzinfo=UTC), None, datetime(2013, 3, 10, 7, tzinfo=UTC), None]
    expected = [None if u is None else int(u.timestamp()) * 10**9 for u in utc]
    assert converted.values.to_list() == expected
    assert [(row, code.value) for row, code, _ in converted.refused] == [
        (1, "TS_OUT_OF_RANGE"),
        (3, "TS_OUT_OF_RANGE"),
    ]


def test_a_time_that_the_clock_shows_twice_is_out_of_range() -> None:
    autumn = date(2013, 11, 3)  # New York: 01:30 comes at UTC-4 and again at UTC-5
    converted = since_midnight_to_ns(pl.Series(["5400000"]), "ms", autumn, "America/New_York")
    assert converted.values.to_list() == [None]
    assert [code.value for _, code, _ in converted.refused] == ["TS_OUT_OF_RANGE"]


def test_text_without_an_offset_is_read_on_the_declared_clock() -> None:
    text = pl.Series(["2013-10-08T09:30:00", "2013-10-08T09:30:00Z", "2013-11-03T01:30:00", "x"])
    converted = text_to_ns(text, "America/New_York")
    opened = int(datetime(2013, 10, 8, 13, 30, tzinfo=UTC).timestamp()) * 10**9
    stated = int(datetime(2013, 10, 8, 9, 30, tzinfo=UTC).timestamp()) * 10**9
    assert converted.values.to_list() == [opened, stated, None, None]
    codes = {row: code.value for row, code, _ in converted.refused}
    assert codes == {2: "TS_OUT_OF_RANGE", 3: "SCHEMA_TYPE"}
