"""Rows of Parquet files meet the same rules as text does."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
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


def test_the_raw_bytes_of_a_parquet_row_are_its_values_as_json() -> None:
    (raw,) = raw_rows(table(), [1])
    assert json.loads(raw)["price"] == "99.70"
    assert json.loads(raw)["instrumentId"] == "X"
