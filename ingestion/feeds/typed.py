"""Columns that a file already holds in a type, to the contract's columns without a way over text.

These are shortcuts: what text would give is what they give. A value that does not fit a shortcut
is looked at as text, alone, and taken or refused as text would be.
"""

import json
from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

from contracts.base import Column
from ingestion.columns import Converted, epoch_to_ns, to_decimal, to_integer
from ingestion.feeds.rules import TimeRule

ISO_NAIVE = "%Y-%m-%dT%H:%M:%S%.9f"
INT64_MAX = 2**63 - 1


def as_text(values: pl.Series) -> pl.Series:
    """The values as their producer would have written them: floats as the shortest decimal."""
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            return values.dt.to_string(ISO_NAIVE)
        return values.dt.to_string(ISO_NAIVE + "%:z")
    if isinstance(dtype, pl.List):
        lists = [None if value is None else json.dumps(value) for value in values.to_list()]
        return pl.Series(values.name, lists, dtype=pl.String)
    return values.cast(pl.String)


def typed(values: pl.Series, column: Column, places: int, time: TimeRule) -> Converted | None:
    """The column's own values, or None where only text can say what they are.

    `places`: the file multiplied a decimal by 10 ** places. `time`: how event times are written.
    """
    made: Converted | None = None
    match column.kind:
        case _ if values.dtype == pl.Null:
            made = Converted(pl.Series(values.name, values, dtype=column.dtype), [])
        case "text":
            made = Converted(values.cast(pl.String), [])
        case "decimal":
            made = _decimal(values, column, places)
        case "time":
            made = _time(values, time)
        case "integer" if values.dtype.is_integer():
            whole = values.cast(pl.Int64, strict=False)
            made = _mended(values, whole, _lost(values, whole), to_integer)
        case "boolean" if values.dtype == pl.Boolean:
            made = Converted(values, [])
        case "texts" if values.dtype == pl.List(pl.String) and not _has_null_items(values):
            made = Converted(values, [])
    return made


def units_to_decimal(units: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """64-bit integers in units of 10 ** -scale as decimals, by their bytes."""
    low = units.fill_null(0).to_numpy()
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = low, low >> 63  # the upper half only repeats the sign
    present = None
    if units.null_count():
        bits = np.packbits(units.is_not_null().to_numpy(), bitorder="little")
        present = pa.py_buffer(bits)
    arrow = pa.Array.from_buffers(
        pa.decimal128(dtype.precision or 38, dtype.scale), len(low), [present, pa.py_buffer(words)]
    )
    made = pl.from_arrow(arrow)
    assert isinstance(made, pl.Series)
    return made


def _decimal(values: pl.Series, column: Column, places: int) -> Converted | None:
    dtype = column.dtype
    assert isinstance(dtype, pl.Decimal)
    made: pl.Series
    if isinstance(values.dtype, pl.Decimal) and not places:
        made = _rescaled(values, dtype)
    elif values.dtype.is_integer() and places <= dtype.scale:
        factor = 10 ** (dtype.scale - places)
        most = min(10 ** (dtype.precision or 38) - 1, INT64_MAX) // factor
        units = values.cast(pl.Int64, strict=False)
        if not _all_within(units, most):
            units = units.set(~units.is_between(-most, most), None)
        made = units_to_decimal(units * factor, dtype)
    else:
        return None
    return _mended(values, made, _lost(values, made), lambda text: to_decimal(text, dtype, places))


def _rescaled(values: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """Decimals of another width; null where they do not fit exactly."""
    given = values.dtype
    assert isinstance(given, pl.Decimal)
    if given == dtype:
        # A file may hold more digits than it says it does.
        most = 10 ** (dtype.precision or 38) - 1
        units = values.to_physical()
        if _all_within(units, most):
            return values
        return values.set(~units.is_between(-most, most), None)
    made = values.cast(dtype, strict=False)
    if given.scale <= dtype.scale:
        return made
    exact = made.cast(pl.Decimal(38, given.scale), strict=False)
    same = exact == values.cast(pl.Decimal(38, given.scale))
    return made if same.all() else made.set(~same, None)


def _all_within(units: pl.Series, most: int) -> bool:
    low, high = units.min(), units.max()
    return low is None or high is None or (-most <= int(low) and int(high) <= most)  # type: ignore[arg-type]


def _time(values: pl.Series, rule: TimeRule) -> Converted | None:
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return Converted(epoch_to_ns(values.to_physical(), dtype.time_unit), [])
    if dtype.is_signed_integer() and rule.kind in ("any", "epoch"):
        assert rule.unit is not None
        return Converted(epoch_to_ns(values.cast(pl.Int64), rule.unit), [])
    return None


def _lost(values: pl.Series, made: pl.Series) -> list[int]:
    """Rows that hold a value but came out null."""
    if made.null_count() == values.null_count():
        return []
    rows: list[int] = (values.is_not_null() & made.is_null()).arg_true().to_list()
    return rows


def _has_null_items(values: pl.Series) -> bool:
    return bool(values.list.len().sum() > values.list.drop_nulls().list.len().sum())


def _mended(
    values: pl.Series, made: pl.Series, rows: list[int], convert: Callable[[pl.Series], Converted]
) -> Converted:
    """`made` with the values of some rows as text would give them."""
    if not rows:
        return Converted(made, [])
    alone = convert(as_text(values.gather(rows)))
    mended = made.scatter(rows, alone.values)
    return Converted(mended, [(rows[row], code, why) for row, code, why in alone.refused])
