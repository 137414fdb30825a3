"""Rows of Parquet files meet the same rules as text does."""

import json
import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from ingestion.batch import Decoded
from ingestion.feeds.binding import bind_names
from ingestion.feeds.catalog import find_feed
from ingestion.feeds.mapping import FileRefused
from ingestion.feeds.table import check_types, decode_table, raw_rows
from lake.settings import Settings, load_settings

NOON_US = 1_759_406_400_000_000  # 2025-10-02T12:00:00Z


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


def codes(decoded: Decoded) -> dict[int, str]:
    return dict(zip(decoded.rejects["i"], decoded.rejects["code"], strict=True))


def table(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "tradeId": ["T1", "T2"],
            "instrumentId": ["X", "X"],
            "price": pl.Series(["99.6", "99.7"]).str.to_decimal(scale=2),
            "quantity": [5, 6],
            "timestamp": pl.Series([NOON_US, NOON_US + 1]).cast(pl.Datetime("us", "UTC")),
            "buySellIndicator": ["B", "S"],
            **columns,
        }
    )


def decode_parquet(settings: Settings, frame: pl.DataFrame) -> Decoded:
    bound = bind_names(find_feed(settings, "generic_trades"), frame.columns, {}, "here")
    check_types(bound, frame, "here")
    return decode_table(bound, frame)


def test_parquet_rows_become_canonical_columns(settings: Settings) -> None:
    decoded = decode_parquet(settings, table())
    assert decoded.frame.select("price", "quantity", "event_ts_ns", "side").rows() == [
        (Decimal("99.6"), Decimal(5), NOON_US * 1000, "B"),
        (Decimal("99.7"), Decimal(6), (NOON_US + 1) * 1000, "S"),
    ]


def test_a_float_is_the_decimal_that_its_producer_wrote(settings: Settings) -> None:
    decoded = decode_parquet(settings, table(price=[99.6, 0.1 + 0.2]))
    assert decoded.frame["price"].to_list() == [Decimal("99.6")]
    assert codes(decoded) == {1: "SCHEMA_TYPE"}  # 0.30000000000000004
    decoded = decode_parquet(settings, table(price=[float("nan"), float("-inf")]))
    assert codes(decoded) == {0: "NON_FINITE", 1: "NON_FINITE"}


def test_a_parquet_time_without_a_zone_is_out_of_range(settings: Settings) -> None:
    naive = [datetime(2025, 10, 2, 12), None]
    decoded = decode_parquet(settings, table(timestamp=naive))
    assert codes(decoded) == {0: "TS_OUT_OF_RANGE"}
    assert decoded.frame["event_ts_ns"].to_list() == [None]


def test_a_parquet_column_of_a_type_that_cannot_hold_its_value_refuses_the_file(
    settings: Settings,
) -> None:
    with pytest.raises(FileRefused, match="column tradeId is Int64, which cannot be read as text"):
        decode_parquet(settings, table(tradeId=[1, 2]))
    with pytest.raises(FileRefused, match="cannot be read as decimal"):
        decode_parquet(settings, table(price=[[1], [2]]))


@pytest.mark.parametrize(
    ("codes_of", "given"), [(["true", "false"], [True, False]), (["1", "2"], [1, 2])]
)
def test_codes_of_any_type_are_put_right_where_the_mapping_names_them(
    settings: Settings, codes_of: list[str], given: list[Any]
) -> None:
    feed = find_feed(settings, "generic_trades")
    values = {"side": dict(zip(codes_of, ["S", "B"], strict=True))}
    coded = feed.model_copy(update={"values": values})
    frame = table(buySellIndicator=given)
    bound = bind_names(coded, frame.columns, {}, "here")
    check_types(bound, frame, "here")
    assert decode_table(bound, frame).frame["side"].to_list() == ["S", "B"]
    with pytest.raises(FileRefused, match="cannot be read as text"):
        decode_parquet(settings, frame)


def test_the_raw_bytes_of_a_parquet_row_are_its_values_as_json() -> None:
    (raw,) = raw_rows(table(), [1])
    assert json.loads(raw)["price"] == "99.70"
    assert json.loads(raw)["instrumentId"] == "X"


def test_the_raw_bytes_of_a_parquet_row_keep_every_nanosecond() -> None:
    ns = pl.Series([NOON_US * 1_000, NOON_US * 1_000 + 123_456_789])
    frame = pl.DataFrame(
        {
            "utc": ns.cast(pl.Datetime("ns", "UTC")),
            "local": ns.cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("America/New_York"),
            "bare": ns.cast(pl.Datetime("ns")),
            "clock": (ns % 86_400_000_000_000).cast(pl.Time),
            "micros": pl.Series([NOON_US, NOON_US + 1]).cast(pl.Datetime("us", "UTC")),
        }
    )
    assert [json.loads(raw) for raw in raw_rows(frame, [1])] == [
        {
            "utc": "2025-10-02 12:00:00.123456789+00:00",
            "local": "2025-10-02 08:00:00.123456789-04:00",
            "bare": "2025-10-02 12:00:00.123456789",
            "clock": "12:00:00.123456789",
            "micros": "2025-10-02 12:00:00.000001+00:00",
        }
    ]


def test_decimals_of_any_width_are_taken_exactly_or_refused(settings: Settings) -> None:
    wide = pl.Series(["99.600000000000", "99.6000000000001"]).str.to_decimal(scale=13)
    decoded = decode_parquet(settings, table(price=wide))
    assert decoded.frame["price"].to_list() == [Decimal("99.6")]
    assert codes(decoded) == {1: "SCHEMA_TYPE"}
    large = pl.Series(["999999999.99", "1000000000.00"]).str.to_decimal(scale=2)
    decoded = decode_parquet(settings, table(price=large))
    assert decoded.frame["price"].to_list() == [Decimal("999999999.99")]
    assert decoded.rejects["message"].to_list() == [
        "price: '1000000000.00' has more than 9 digits before the point"
    ]


def test_a_decimal_that_holds_more_digits_than_its_type_says_is_refused(settings: Settings) -> None:
    words = np.array([[10**18, 0], [10**18 - 1, 0]], dtype=np.int64)
    lying = pa.Array.from_buffers(pa.decimal128(18, 9), 2, [None, pa.py_buffer(words)])
    decoded = decode_parquet(settings, table(price=pl.Series(pl.from_arrow(lying))))
    assert decoded.frame["price"].to_list() == [Decimal("999999999.999999999")]
    assert codes(decoded) == {0: "SCHEMA_TYPE"}


@pytest.mark.parametrize("dtype", [pl.Int8(), pl.Int64(), pl.UInt64(), pl.Int128()])
def test_whole_numbers_of_any_width_are_decimals(settings: Settings, dtype: pl.DataType) -> None:
    decoded = decode_parquet(settings, table(quantity=pl.Series([7, 100], dtype=dtype)))
    assert decoded.frame["quantity"].to_list() == [Decimal(7), Decimal(100)]


def test_whole_numbers_that_do_not_fit_are_refused_alone(settings: Settings) -> None:
    prices = pl.Series([10**9, 5], dtype=pl.Int64)
    sizes = pl.Series([2**64 - 1, 2**64 - 1], dtype=pl.UInt64)
    decoded = decode_parquet(settings, table(price=prices, quantity=sizes))
    assert codes(decoded) == {0: "SCHEMA_TYPE"}
    assert decoded.frame["quantity"].to_list() == [Decimal(2**64 - 1)]
    sequence = pl.Series([2**63, 1], dtype=pl.UInt64)
    assert codes(decode_parquet(settings, table(sequence=sequence))) == {0: "SCHEMA_TYPE"}


@pytest.mark.parametrize("seed", range(3))
def test_typed_columns_are_read_as_their_text_is(settings: Settings, seed: int) -> None:
    rng = random.Random(seed)
    count = 200

    def some(make: Callable[[], Any], none: bool = True) -> list[Any]:
        return [None if none and rng.random() < 0.2 else make() for _ in range(count)]

    units = some(lambda: rng.randrange(10 ** rng.randrange(1, 20)) * rng.choice([1, -1]))
    price = pl.Series(units, dtype=pl.Int128).cast(pl.Decimal(38, 0))
    frame = pl.DataFrame(
        {
            "tradeId": some(lambda: rng.choice(["A", "", "NULL", "7"])),
            "instrumentId": pl.Series(some(lambda: "X"), dtype=pl.Categorical),
            "price": price.cast(pl.String).str.to_decimal(scale=0) / Decimal(10**4),
            "quantity": some(lambda: rng.choice([1.5, 0.1, 1e300, float("nan"), 1e-9])),
            "timestamp": pl.Series(some(lambda: rng.randrange(2**60)), dtype=pl.Int64),
            "buySellIndicator": some(lambda: "B"),
            "sequence": pl.Series(some(lambda: rng.randrange(2**64)), dtype=pl.UInt64),
            "suspicious": some(lambda: rng.random() < 0.5),
        }
    )
    bound = bind_names(find_feed(settings, "generic_trades"), frame.columns, {}, "here")
    as_text = frame.with_columns(pl.all().cast(pl.String))
    typed, text = decode_table(bound, frame), decode_table(bound, as_text)
    assert typed.frame.equals(text.frame)
    assert typed.rejects.sort("i").equals(text.rejects.sort("i"))
    assert 0 < typed.frame.height < count
