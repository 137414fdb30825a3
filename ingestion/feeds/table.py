"""Rows of a Parquet file to the contract's columns, by the same rules as any other.

A float is taken as the shortest decimal that names it (99.6, not 99.5999999999999943), which is
what its producer wrote; it is rejected like any number when that has too many decimals.
"""

import json
from collections.abc import Sequence

import polars as pl

from contracts.base import Kind
from ingestion.batch import Decoded
from ingestion.feeds.binding import Bound
from ingestion.feeds.convert import to_canonical
from ingestion.feeds.mapping import FileRefused


def check_types(bound: Bound, frame: pl.DataFrame, where: str) -> None:
    """Raises FileRefused when a column's type cannot hold what its contract column says."""
    kinds = {column.name: column.kind for column in bound.feed.contract.columns}
    for column, index in bound.columns.items():
        dtype = frame.dtypes[index]
        coded = column in bound.feed.values and (dtype.is_integer() or dtype == pl.Boolean)
        if not coded and not _holds(kinds[column], dtype):
            raise FileRefused(
                f"{where}: column {frame.columns[index]} is {dtype}, which cannot be read as "
                f"{kinds[column]} ({bound.feed.dataset}.{column})"
            )


def decode_table(bound: Bound, frame: pl.DataFrame) -> Decoded:
    """Rows as the file holds them to the contract's columns."""
    cells = {column: frame.to_series(index) for column, index in bound.columns.items()}
    places = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
    return to_canonical(bound, cells, places, [])


def raw_rows(frame: pl.DataFrame, rows: Sequence[int]) -> list[bytes]:
    """The rows as JSON: a Parquet row has no bytes of its own to keep.

    Python's times end at microseconds, so those in nanoseconds are made text here.
    """
    kept = frame[list(rows)].with_columns(
        pl.col(name).dt.to_string(form)
        for name, dtype in frame.schema.items()
        if (form := _in_nanoseconds(dtype))
    )
    return [
        json.dumps(row, default=str, ensure_ascii=False).encode()
        for row in kept.iter_rows(named=True)
    ]


def _in_nanoseconds(dtype: pl.DataType) -> str | None:
    """How to write a time that counts nanoseconds; None for any other type."""
    if dtype == pl.Time:
        return "%H:%M:%S%.9f"
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        return "%Y-%m-%d %H:%M:%S%.9f" + ("%:z" if dtype.time_zone else "")
    return None


def _holds(kind: Kind, dtype: pl.DataType) -> bool:
    if dtype == pl.Null or isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return True
    if kind == "decimal":
        return dtype.is_numeric()
    if kind == "integer":
        return dtype.is_integer()
    if kind == "boolean":
        return dtype == pl.Boolean or dtype.is_integer()
    if kind == "texts":
        return dtype == pl.List(pl.String)
    # A number where text is due has lost its leading zeros: that is not put right by guessing.
    return kind == "time" and (dtype.is_integer() or isinstance(dtype, pl.Datetime))
