"""From columns to JSON bytes and to canonical columns, without a Python loop over the rows.

A generated frame has the contract's column names. Times are `event_us`, microseconds since epoch
UTC; decimals are integers in units of 10 ** -scale, so that nothing is ever rounded twice. A null
is left out of the JSON object, unless the form says that it is sent as null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from contracts import registry
from contracts.base import Column, Contract

DAY_US = 86_400_000_000
PRICE_SCALE = 4
MOST_UNITS = 2**63 - 1  # of the scale of a contract's decimals
# Decimals up to which the text of every fraction is kept.
MOST_TABLED = 6
# Rows turned into text at a time. Memory for more of them goes back to the system each time, and
# getting it anew costs as much as filling it.
TEXT_ROWS = 50_000


@dataclass(frozen=True)
class Form:
    """How a dataset's generated columns are written.

    `scales`: decimal column -> decimals its integers stand for (0 where it is not named).
    `time`: ISO-8601 in milliseconds, or microseconds where there are any; or integer milliseconds.
    `nulls`: columns that are sent as null where they have no value.
    """

    dataset: str
    scales: Mapping[str, int] = field(default_factory=dict)
    time: Literal["iso", "epoch_ms"] = "iso"
    nulls: frozenset[str] = frozenset()

    @property
    def contract(self) -> Contract:
        """The contract the dataset is under."""
        return registry.get(self.dataset)

    def columns(self, frame: pl.DataFrame) -> list[Column]:
        """The contract's columns that `frame` holds, in the contract's order."""
        return [c for c in self.contract.columns if _generated(c) in frame.columns]


def json_values(form: Form, frame: pl.DataFrame) -> pl.Series:
    """One JSON object a row, as bytes. The first column of the contract must have no nulls."""
    starts = range(0, frame.height or 1, TEXT_ROWS)
    return pl.concat([_json_values(form, frame[at : at + TEXT_ROWS]) for at in starts])


def _json_values(form: Form, frame: pl.DataFrame) -> pl.Series:
    parts: list[str | pl.Expr] = ["{"]
    for place, column in enumerate(form.columns(frame)):
        parts += _member("," if place else "", form, frame, column)
    parts.append("}")
    text = frame.select(pl.concat_str(*_merged(parts), ignore_nulls=True)).to_series()
    return text.cast(pl.Binary).alias("value")


def members(form: Form, frame: pl.DataFrame) -> pl.DataFrame:
    """JSON text of every value by its key on the wire; null where the member is left out."""
    texts = {}
    for column in form.columns(frame):
        before, text, after = _value(form, frame, column)
        whole = pl.concat_str(pl.lit(before), text, pl.lit(after))
        texts[column.wire] = whole.fill_null("null") if column.name in form.nulls else whole
    return frame.select(**texts)


def json_text(keys: list[str]) -> pl.Expr:
    """One JSON object a row from the columns `keys`, each holding the JSON text of its value."""
    parts = [pl.concat_str(pl.lit(f'"{key}":'), pl.col(key)) for key in keys]
    inside = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.concat_str(pl.lit("{"), inside, pl.lit("}"))


def typed(form: Form, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows as canonical columns: every column of the contract, with its own type."""
    series = []
    for column in form.contract.columns:
        name = _generated(column)
        if name not in frame.columns:
            series.append(
                pl.Series(column.name, [None], dtype=column.dtype).new_from_index(0, len(frame))
            )
        elif column.kind == "decimal":
            series.append(_decimals(frame[name], form.scales.get(name, 0), column))
        elif column.kind == "time":
            series.append((frame[name] * 1000).alias(column.name))
        else:
            series.append(frame[name].cast(column.dtype))
    return pl.DataFrame(series)


def decimal_text(units: pl.Expr, scale: int) -> pl.Expr:
    """Units of 10 ** -scale as a decimal without trailing zeros, exactly."""
    if scale == 0:
        return units.cast(pl.String)
    size, rest = 10**scale, units.abs() % 10**scale
    sign = pl.when(units < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = (units.abs() // size).cast(pl.String)
    return pl.concat_str(sign, whole, _fraction(rest, scale))


def _fraction(rest: pl.Expr, scale: int) -> pl.Expr:
    """Decimals of a remainder of a unit, without trailing zeros; empty where there are none."""
    if scale <= MOST_TABLED:
        return pl.lit(_fractions(scale)).gather(rest)
    # A table of every remainder would not fit in memory.
    digits = rest.cast(pl.String).str.zfill(scale).str.strip_chars_end("0")
    return pl.when(rest == 0).then(pl.lit("")).otherwise(pl.concat_str(pl.lit("."), digits))


def time_text(form: Form, micros: pl.Series) -> pl.Expr:
    """Microseconds since epoch UTC as the JSON text of a time."""
    at = pl.col(micros.name)
    if form.time == "epoch_ms":
        return (at // 1000).cast(pl.String)
    first, last = _days(micros)
    days = pl.Series(np.arange(first, last + 1), dtype=pl.Int32).cast(pl.Date).dt.to_string()
    in_day = at % DAY_US
    return pl.concat_str(
        pl.lit('"' + days + "T").gather(at // DAY_US - first),
        pl.lit(_seconds_of_day()).gather(in_day // 1_000_000),
        pl.lit(_fractions_of_second()).gather(in_day % 1_000_000),
        pl.lit('Z"'),
    )


def _generated(column: Column) -> str:
    return "event_us" if column.kind == "time" else column.name


def _member(comma: str, form: Form, frame: pl.DataFrame, column: Column) -> Iterator[str | pl.Expr]:
    before, text, after = _value(form, frame, column)
    before = f'{comma}"{column.wire}":{before}'
    if not frame[_generated(column)].null_count():
        yield from (before, text, after)
        return
    whole = pl.concat_str(pl.lit(before), text, pl.lit(after))
    if column.name in form.nulls:
        whole = whole.fill_null(f'{comma}"{column.wire}":null')
    yield whole


def _value(form: Form, frame: pl.DataFrame, column: Column) -> tuple[str, pl.Expr, str]:
    """What stands before, in and after the JSON text of a value; null where there is none.

    The generator's own texts hold nothing that needs escaping.
    """
    name = _generated(column)
    if column.kind == "time":
        return "", time_text(form, frame[name]), ""
    if column.kind == "decimal":
        return "", _fitting(frame[name], form.scales.get(name, 0)), ""
    if column.kind == "text":
        return '"', pl.col(name), '"'
    if column.kind == "texts":
        listed = pl.col(name).list.join('","')
        some = pl.concat_str(pl.lit('["'), listed, pl.lit('"]'))
        return "", pl.when(pl.col(name).list.len() == 0).then(pl.lit("[]")).otherwise(some), ""
    return "", pl.col(name).cast(pl.String), ""


def _fitting(units: pl.Series, scale: int) -> pl.Expr:
    """`decimal_text` without the sign where nothing is negative, which costs a third less."""
    if scale == 0 or bool((units < 0).any()):
        return decimal_text(pl.col(units.name), scale)
    at, size = pl.col(units.name), 10**scale
    return pl.concat_str((at // size).cast(pl.String), _fraction(at % size, scale))


def _merged(parts: list[str | pl.Expr]) -> Iterator[pl.Expr]:
    """Neighbouring literals become one: every piece costs a pass."""
    literal = ""
    for part in parts:
        if isinstance(part, str):
            literal += part
            continue
        if literal:
            yield pl.lit(literal)
        literal = ""
        yield part
    if literal:
        yield pl.lit(literal)


def _decimals(units: pl.Series, scale: int, column: Column) -> pl.Series:
    """Integers of 10 ** -scale as the column's decimals, by their bytes: no text, no rounding."""
    dtype = column.dtype
    assert isinstance(dtype, pl.Decimal)
    factor = 10 ** (dtype.scale - scale)
    largest = max(abs(int(units.max() or 0)), abs(int(units.min() or 0)))  # type: ignore[arg-type]
    if largest * factor > MOST_UNITS:
        raise OverflowError(
            f"generator: {column.name} reaches {largest} units of 1e-{scale}, more than "
            f"{MOST_UNITS // factor} do not fit; give smaller prices or sizes"
        )
    shifted = units.cast(pl.Int64) * factor
    low = shifted.fill_null(0).to_numpy()
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = low, low >> 63  # the upper half only repeats the sign
    present = None
    if shifted.null_count():  # not Arrow's own bits: those of a slice begin somewhere in a byte
        bits = np.packbits(shifted.is_not_null().to_numpy(), bitorder="little")
        present = pa.py_buffer(bits)
    arrow = pa.Array.from_buffers(
        pa.decimal128(dtype.precision or 38, dtype.scale),
        len(low),
        [present, pa.py_buffer(words)],
    )
    made = pl.from_arrow(arrow)
    assert isinstance(made, pl.Series)
    return made.alias(column.name)


def _days(micros: pl.Series) -> tuple[int, int]:
    """First and last UTC day, as days since epoch."""
    low, high = micros.min(), micros.max()
    if low is None or high is None:
        return 0, 0
    return int(low) // DAY_US, int(high) // DAY_US  # type: ignore[arg-type]


@cache
def _seconds_of_day() -> pl.Series:
    """HH:MM:SS of each second of a day."""
    second = pl.int_range(86_400, eager=True)
    return pl.select(
        pl.concat_str(
            (second // 3600).cast(pl.String).str.zfill(2),
            (second // 60 % 60).cast(pl.String).str.zfill(2),
            (second % 60).cast(pl.String).str.zfill(2),
            separator=":",
        )
    ).to_series()


@cache
def _fractions_of_second() -> pl.Series:
    """Decimals of each microsecond of a second: three where that says it all, else six."""
    digits = pl.int_range(1_000_000, eager=True).cast(pl.String).str.zfill(6)
    return "." + digits.set(digits.str.ends_with("000"), None).fill_null(digits.str.head(3))


@cache
def _fractions(scale: int) -> pl.Series:
    """Decimals of each remainder of a unit, without trailing zeros; empty where there are none."""
    digits = pl.int_range(10**scale, eager=True).cast(pl.String).str.zfill(scale)
    trimmed = digits.str.strip_chars_end("0")
    return pl.select(
        pl.when(trimmed == "").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("."), trimmed))
    ).to_series()
