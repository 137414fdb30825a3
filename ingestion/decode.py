"""Bytes to canonical columns: strict, one bad record never costs its neighbours."""

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from contracts.base import Column, Contract
from contracts.codes import RejectCode
from contracts.derive.wire import decoder
from ingestion.batch import Decoded, rejects
from ingestion.columns import Converted, epoch_to_ns, to_decimal, to_ns, to_text
from ingestion.template import decode_alike

Reject = tuple[int, str, str]


def decode_json(contract: Contract, records: Sequence[bytes], max_bytes: int) -> Decoded:
    """Decode JSON records one by one into the contract's columns.

    A record longer than `max_bytes`, not UTF-8, not JSON, with a repeated or unknown key, or with
    a value of the wrong type is a reject; all others are rows, in the order of their places.
    """
    alike, others = decode_alike(contract, records, max_bytes)
    if not others:
        return Decoded(alike, rejects([]))
    single = decode_singly(contract, records, others, max_bytes)
    if alike.is_empty() or single.frame.is_empty():
        return Decoded(single.frame if alike.is_empty() else alike, single.rejects)
    return Decoded(alike.merge_sorted(single.frame, "i"), single.rejects)


def decode_singly(
    contract: Contract, records: Sequence[bytes], places: Sequence[int], max_bytes: int
) -> Decoded:
    """Decode the records at the places, each parsed for itself."""
    found, structs, refused = _parse(contract, records, places, max_bytes)
    series: dict[str, pl.Series] = {}
    bad: dict[int, Reject] = {}
    for column in contract.columns:
        converted = _convert(contract, column, list(map(attrgetter(column.name), structs)))
        series[column.name] = converted.values
        for row, code, why in converted.refused:
            place = found[row]
            bad.setdefault(place, (place, code.value, f"{column.wire}: {why}"))
    frame = pl.DataFrame(series).with_columns(i=pl.Series(found, dtype=pl.UInt32))
    for place in _repeated_keys(contract, records, structs, frame):
        bad.setdefault(place, (place, RejectCode.PARSE_ERROR.value, "a key is repeated"))
    if bad:
        frame = frame.filter(~pl.col("i").is_in(list(bad)))
    return Decoded(frame, rejects([*refused, *bad.values()]))


def _parse(
    contract: Contract, records: Sequence[bytes], places: Sequence[int], max_bytes: int
) -> tuple[list[int], list[Any], list[Reject]]:
    decode = decoder(contract.dataset).decode
    found: list[int] = []
    structs: list[Any] = []
    refused: list[Reject] = []
    for place in places:
        record = records[place]
        try:
            if len(record) > max_bytes:
                raise msgspec.DecodeError(f"{len(record)} bytes; the limit is {max_bytes}")
            struct = decode(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            code, why = _diagnose(record, error)
            refused.append((place, code.value, why))
        else:
            found.append(place)
            structs.append(struct)
    return found, structs, refused


def _diagnose(record: bytes, error: Exception) -> tuple[RejectCode, str]:
    why = str(error)
    if not record:
        return RejectCode.PARSE_ERROR, "empty record"
    if isinstance(error, msgspec.ValidationError):
        missing = "missing required field" in why
        return (RejectCode.SCHEMA_MISSING_FIELD if missing else RejectCode.SCHEMA_TYPE), why
    if isinstance(error, msgspec.DecodeError) and _has_non_finite(record):
        return RejectCode.NON_FINITE, "NaN or Infinity is not a number in JSON"
    return RejectCode.PARSE_ERROR, why


def _has_non_finite(record: bytes) -> bool:
    """Is this JSON but for a bare NaN or Infinity? (Python's reader takes those, msgspec not.)"""
    if len(record) > 1_000_000 or not (b"NaN" in record or b"Infinity" in record):
        return False
    found: list[str] = []
    try:
        json.loads(record, parse_constant=found.append)
    except (ValueError, RecursionError):
        return False
    return bool(found)


def _convert(contract: Contract, column: Column, values: list[Any]) -> Converted:
    if column.kind == "decimal":
        return _decimals(values, column.dtype)
    if column.kind == "time":
        return _times(values, contract.epoch_unit)
    series = pl.Series(values, dtype=column.dtype)
    if column.kind == "text":
        series = series.replace("", None)
    return Converted(series, [])


def _decimals(values: list[msgspec.Raw], dtype: pl.DataType) -> Converted:
    read = to_text([bytes(value) for value in values])  # msgspec does not look into raw values
    text = read.values.replace("null", None)
    quoted = text.str.starts_with('"')
    if quoted.any():
        text = pl.select(
            pl.when(quoted).then(text.str.replace_all('"', "")).otherwise(text)
        ).to_series()
    assert isinstance(dtype, pl.Decimal)
    converted = to_decimal(text, dtype)
    return Converted(converted.values, [*read.refused, *converted.refused])


def _times(values: list[Any], epoch_unit: str) -> Converted:
    if not any(isinstance(value, int) for value in values):
        return to_ns(pl.Series(values, dtype=pl.String))
    numbers = pl.Series([v if isinstance(v, int) else None for v in values], dtype=pl.Int64)
    text = to_ns(pl.Series([v if isinstance(v, str) else None for v in values], dtype=pl.String))
    both = epoch_to_ns(numbers, epoch_unit).fill_null(text.values)
    return Converted(both, text.refused)


def _repeated_keys(
    contract: Contract, records: Sequence[bytes], structs: Sequence[Any], frame: pl.DataFrame
) -> list[int]:
    """Places of records in which a key occurs twice.

    msgspec keeps the last of equal keys in silence. A repeated key always adds quotation marks
    beyond those of the keys and strings that were decoded, so only records with a surplus
    (also: escaped quotes, explicit nulls, numbers as strings) are read again, exactly.
    """
    if frame.is_empty():
        return []
    expected = pl.lit(2 * sum(column.required for column in contract.columns))
    for column in contract.columns:
        present = pl.col(column.name).is_not_null()
        if column.kind == "text":
            expected += 2 * present
        elif column.kind == "texts":
            expected += 2 * pl.col(column.name).list.len().fill_null(0)
        if not column.required:
            expected += 2 * present
    times = [c.name for c in contract.columns if c.kind == "time"]
    strings = pl.sum_horizontal(
        pl.Series(name, [2 * isinstance(getattr(s, name), str) for s in structs]) for name in times
    )
    quotes = pl.Series("quotes", [records[i].count(b'"') for i in frame["i"]])
    surplus = frame.select(quotes > expected + strings).to_series()
    return [i for i in frame["i"].filter(surplus) if _repeats_a_key(records[i])]


def _repeats_a_key(record: bytes) -> bool:
    repeated = False

    def watch(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) < len(pairs)
        return dict(pairs)

    try:  # numbers stay text: Python refuses to make an integer of more than 4300 digits
        json.loads(record, object_pairs_hook=watch, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return True  # what msgspec kept was readable, so this stands in a value it dropped
    return repeated
