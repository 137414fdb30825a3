"""The compact wire format: one record, one line, numbers as integers, beside JSON.

    #2,TRD_98765,BOND_12345,,99600000000,25000000000000,1759406401000000,B

After `#`, which no JSON begins with, and the version of the contract come the values in the order
of that version's columns, separated by commas; empty ones at the end may be left out. A decimal is
an integer in units of its last decimal (prices 1e-9, sizes 1e-8), a time in microseconds since
epoch UTC, a boolean 0 or 1, nothing at all is null. Text stands as it is; where it holds a comma, a
quotation mark or a control character it is a JSON string, so that a record never takes more than a
line. A list of texts is a JSON array.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import msgspec
import polars as pl

from contracts import registry
from contracts.base import Column, Contract
from contracts.codes import RejectCode
from ingestion.batch import Decoded, rejects
from ingestion.columns import Converted, epoch_to_ns, to_decimal, to_integer, to_texts
from ingestion.compact_lines import split_lines
from ingestion.feeds.rules import TimeRule
from ingestion.feeds.sides import Reject
from ingestion.feeds.text import readable
from ingestion.feeds.typed import typed

TAG = b"#"  # what a compact record begins with, and JSON cannot
_NEEDS_QUOTES = r'[,"\x00-\x1f]'
_NO_RULE = TimeRule()


def encode_compact(contract: Contract, frame: pl.DataFrame) -> list[bytes]:
    """Rows of canonical columns, each a record of the contract's newest version.

    A column that the frame has not is null. Raises ValueError where a time is no whole number of
    microseconds: this format could not give it back.
    """
    given = [column for column in contract.columns if column.name in frame.columns]
    for column in given:
        if column.kind == "time" and (frame[column.name] % 1000 != 0).any():
            raise ValueError(
                f"{contract.dataset}.{column.name}: the compact format counts microseconds, and a "
                "time here has nanoseconds; send it as JSON"
            )
    texts = [
        _text_of(frame[column.name], column)
        if column in given
        else pl.Series([""]).new_from_index(0, frame.height)
        for column in contract.columns
    ]
    names = [f"field_{place}" for place in range(len(texts))]
    fields = pl.DataFrame([text.alias(name) for text, name in zip(texts, names, strict=True)])
    values = pl.concat_str(*(pl.col(name).fill_null("") for name in names), separator=",")
    tag = f"{TAG.decode()}{contract.version},"
    lines = fields.select(pl.concat_str(pl.lit(tag), values.str.strip_chars_end(",")))
    return lines.to_series().cast(pl.Binary).to_list()


def decode_compact(contract: Contract, records: Sequence[bytes], max_bytes: int) -> Decoded:
    """Compact records of any published version to the contract's columns.

    A record longer than `max_bytes`, not UTF-8, of an unknown version, with more values than its
    version has, or with a value of the wrong kind is a reject; all others are rows. What JSON would
    give is what this gives, to the last digit.
    """
    text, places, refused = readable(records, max_bytes)
    frames = [_empty(contract)]
    for version, chosen in _versions(contract, text, places, refused):
        frame, found = _decode_version(
            contract, version, text.filter(chosen), places.filter(chosen)
        )
        frames.append(frame)
        refused += found
    frame = pl.concat(frames) if len(frames) > 2 else frames[-1]
    return Decoded(frame if frame["i"].is_sorted() else frame.sort("i"), rejects(refused))


def _versions(
    contract: Contract, text: pl.Series, places: pl.Series, refused: list[Reject]
) -> Iterator[tuple[int, pl.Series]]:
    """(version, which rows have it), newest first; rows of no known version are refused."""
    left = text.is_not_null()
    for version in range(contract.version, 0, -1):
        chosen = left & text.str.starts_with(f"{TAG.decode()}{version},")
        if chosen.any():
            yield version, chosen
        left &= ~chosen
        if not left.any():
            return
    known = ", ".join(map(str, range(1, contract.version + 1)))
    for row in left.arg_true().to_list():
        code, why = RejectCode.PARSE_ERROR, "a compact record begins with #<contract version>,"
        if tag := re.match("#([0-9]{1,9}),", text[row]):
            code = RejectCode.SCHEMA_TYPE
            why = f"version {tag[1]} of {contract.dataset} is not known; there are: {known}"
        refused.append((places[row], code.value, why))


@cache
def _columns(dataset: str, version: int) -> tuple[Column, ...]:
    """The columns of a version, in its order."""
    contract = registry.get(dataset)
    if version == contract.version:
        return contract.columns
    now = {column.name: column for column in contract.columns}
    return tuple(now[name] for name in registry.load_version(dataset, version)["columns"])


def _empty(contract: Contract) -> pl.DataFrame:
    columns = {column.name: column.dtype for column in contract.columns}
    return pl.DataFrame(schema={**columns, "i": pl.UInt32})


def _decode_version(
    contract: Contract, version: int, text: pl.Series, places: pl.Series
) -> tuple[pl.DataFrame, list[Reject]]:
    columns = _columns(contract.dataset, version)
    cells, places, refused = split_lines(columns, text, places)
    series: dict[str, pl.Series] = {}
    bad: dict[int, Reject] = {}
    for column in contract.columns:
        if column.name not in cells:
            nothing = pl.Series([None], dtype=column.dtype)
            series[column.name] = nothing.new_from_index(0, len(places))
            continue
        converted = _value(column, cells[column.name])
        series[column.name] = converted.values
        for row, code, why in converted.refused:
            place = places[row]
            bad.setdefault(place, (place, code.value, f"{column.wire}: {why}"))
    frame = pl.DataFrame(series).with_columns(places.alias("i"))
    if bad:
        frame = frame.filter(~pl.col("i").is_in(list(bad)))
    return frame, [*refused, *bad.values()]


def _value(column: Column, text: pl.Series) -> Converted:
    """Text of a column to its values; null and the empty text are null."""
    empty = text == ""
    if empty.any():
        text = text.set(empty, None)
    match column.kind:
        case "text":
            return Converted(text, [])
        case "texts":
            return to_texts(text)
        case "boolean":
            return _flags(text)
        case "decimal":
            return _decimals(column, text)
        case "time":
            whole = _integers(text)
            return Converted(epoch_to_ns(whole.values, "us"), whole.refused)
    return _integers(text)


def _integers(text: pl.Series) -> Converted:
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count() == text.null_count():
        return Converted(numbers, [])
    return to_integer(text)


def _flags(text: pl.Series) -> Converted:
    whole = _integers(text)
    other = (~whole.values.is_in([0, 1])).fill_null(False).arg_true().to_list()
    why = "is not 0 or 1"
    refused = [(row, RejectCode.SCHEMA_TYPE, f"'{text[row]}' {why}") for row in other]
    return Converted(whole.values == 1, [*whole.refused, *refused])


def _decimals(column: Column, text: pl.Series) -> Converted:
    """Integers in units of the last decimal; those beyond 64 bits go the long way."""
    dtype = column.dtype
    assert isinstance(dtype, pl.Decimal)
    units = text.cast(pl.Int64, strict=False)
    made = typed(units, column, dtype.scale, _NO_RULE)
    assert made is not None
    long = (text.is_not_null() & units.is_null()).arg_true().to_list()
    if not long:
        return made
    alone = text.gather(long)
    broken = to_integer(alone.set(alone.str.contains("^[+-]?[0-9]+$"), None))
    rest = to_decimal(alone.set(~alone.str.contains("^[+-]?[0-9]+$"), None), dtype, dtype.scale)
    refused = [(long[row], code, why) for row, code, why in [*broken.refused, *rest.refused]]
    return Converted(made.values.scatter(long, rest.values), [*made.refused, *refused])


def _text_of(values: pl.Series, column: Column) -> pl.Series:
    """The values of a column as they stand in a record; null stays null."""
    match column.kind:
        case "decimal":
            return values.cast(column.dtype).to_physical().cast(pl.String)
        case "time":
            return (values // 1000).cast(pl.String)
        case "boolean":
            return values.cast(pl.Int8).cast(pl.String)
        case "texts":
            lists = [
                None if v is None else msgspec.json.encode(v).decode() for v in values.to_list()
            ]
            return pl.Series(lists, dtype=pl.String)
        case "text":
            odd = values.str.contains(_NEEDS_QUOTES).fill_null(False).arg_true().to_list()
            quoted = [msgspec.json.encode(text).decode() for text in values.gather(odd)]
            return values.scatter(odd, quoted) if odd else values
    return values.cast(pl.String)
