"""CSV lines, and JSON lines of a vendor, to columns of text. A physical line is a row, always."""

import csv
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from contracts.base import Kind
from contracts.codes import RejectCode
from ingestion.batch import Decoded
from ingestion.columns import to_text
from ingestion.feeds.binding import Bound, ignored, targets_of
from ingestion.feeds.convert import to_canonical
from ingestion.feeds.mapping import TIME
from ingestion.feeds.sides import Reject
from ingestion.feeds.times import unit_by_size

csv.field_size_limit(2**31 - 1)  # a line's own limit is the one that counts


class _BadLine(ValueError):
    """A line that gives no row, with its code."""

    def __init__(self, code: RejectCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def split_header(line: bytes, separator: str) -> list[str]:
    """Column names in a header line. Raises ValueError when it is not one line of CSV."""
    try:
        return _cells(line.decode(), separator)
    except (UnicodeDecodeError, _BadLine) as error:
        raise ValueError(str(error)) from None


def unit_of_first(bound: Bound, lines: Sequence[bytes], where: str) -> str:
    """What the epochs of a file count in, told by its first lines. Raises FileRefused."""
    found = []
    for line in lines:
        try:
            cells = _cells(line.decode(), bound.feed.separator)
        except (UnicodeDecodeError, _BadLine):
            continue
        found += cells[bound.columns[TIME] : bound.columns[TIME] + 1]
    return unit_by_size(found, where)


def decode_csv(bound: Bound, lines: Sequence[bytes], max_bytes: int) -> Decoded:
    """CSV lines to the contract's columns; a line that is no record is a reject.

    Lines without quotes and with the right number of separators are split in bulk, the others one
    by one, with the same outcome.
    """
    text, places, refused = readable(lines, max_bytes)
    separator, width = bound.feed.separator, bound.width
    plain = ~text.str.contains('"', literal=True) & (text != "")
    plain &= text.str.count_matches(separator, literal=True) == width - 1
    odd = (~plain).arg_true().to_list()
    bulk = text.filter(plain) if odd else text
    if width > 1:
        cells = bulk.str.split_exact(separator, width - 1).struct.unnest()
    else:
        cells = pl.DataFrame({"field_0": bulk})
    cells = cells.select(f"field_{index}" for index in bound.columns.values())
    if odd:
        more, taken, bad = _one_by_one(bound, text, odd)
        refused += [(places[row], code, why) for row, code, why in bad]
        cells = cells.vstack(pl.DataFrame(more, schema=cells.schema, orient="row"))
        places = pl.concat([places.filter(plain), places.gather(taken)])
    texts = dict(zip(bound.columns, cells.get_columns(), strict=True))
    return to_canonical(bound, texts, places, refused)


def readable(lines: Sequence[bytes], max_bytes: int) -> tuple[pl.Series, pl.Series, list[Reject]]:
    """Lines that are UTF-8 and not too long, their places, and rejects for the others."""
    read = to_text(lines)
    places = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
    refused = [(row, code.value, why) for row, code, why in read.refused]
    long = (read.values.str.len_bytes() > max_bytes).fill_null(False)
    for row in long.arg_true():
        why = f"{len(lines[row])} bytes; the limit is {max_bytes}"
        refused.append((row, RejectCode.PARSE_ERROR.value, why))
    keep = read.values.is_not_null() & ~long
    return read.values.filter(keep), places.filter(keep), refused


def _one_by_one(
    bound: Bound, text: pl.Series, rows: list[int]
) -> tuple[list[list[str]], list[int], list[Reject]]:
    found, taken, bad = [], [], []
    for row, line in zip(rows, text.gather(rows).to_list(), strict=True):
        try:
            cells = _cells(line, bound.feed.separator)
            if len(cells) != bound.width:
                why = f"{len(cells)} columns; the feed has {bound.width}"
                raise _BadLine(RejectCode.PARSE_ERROR, why)
        except _BadLine as error:
            bad.append((row, error.code.value, str(error)))
        else:
            found.append([cells[index] for index in bound.columns.values()])
            taken.append(row)
    return found, taken, bad


def _cells(line: str, separator: str) -> list[str]:
    if not line:
        raise _BadLine(RejectCode.PARSE_ERROR, "an empty line")
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        raise _BadLine(RejectCode.PARSE_ERROR, f"not CSV: {error}") from None


class _Number(str):
    """The text of a JSON number, told apart from a string."""


def decode_objects(bound: Bound, lines: Sequence[bytes], max_bytes: int) -> Decoded:
    """JSON lines under a vendor's own names to the contract's columns."""
    text, places, refused = readable(lines, max_bytes)
    targets = targets_of(bound.feed)
    kinds: dict[str, Kind] = {c.name: c.kind for c in bound.feed.contract.columns}
    names = sorted(set(targets.values()))
    rows: list[list[str | None]] = []
    taken: list[int] = []
    for row, line in enumerate(text):
        try:
            record = _record(bound, targets, kinds, line)
        except _BadLine as error:
            refused.append((places[row], error.code.value, str(error)))
        else:
            rows.append([record.get(name) for name in names])
            taken.append(row)
    cells = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    texts = dict(zip(names, cells.get_columns(), strict=True))
    return to_canonical(bound, texts, places.gather(taken), refused)


def _record(
    bound: Bound, targets: dict[str, str], kinds: dict[str, Kind], line: str
) -> dict[str, str | None]:
    """One object as canonical column -> text. Raises _BadLine."""
    record: dict[str, str | None] = {}
    for name, value in _members(line):
        if name not in targets:
            if not ignored(bound.feed, name):
                raise _BadLine(RejectCode.SCHEMA_TYPE, f"'{name}' is not in the mapping")
            continue
        column = targets[name]
        if column in record:
            raise _BadLine(RejectCode.PARSE_ERROR, f"{name}: {column} is given twice")
        record[column] = _text(name, value, kinds[column])
    return record


def _members(line: str) -> list[tuple[str, Any]]:
    try:
        members = json.loads(
            line,
            object_pairs_hook=_Pairs,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except (ValueError, RecursionError) as error:
        raise _BadLine(RejectCode.PARSE_ERROR, f"not JSON: {error}") from None
    if not isinstance(members, _Pairs):
        raise _BadLine(RejectCode.SCHEMA_TYPE, "not a JSON object")
    return members


class _Pairs(list[tuple[str, Any]]):
    """Members of a JSON object in their order, repeated keys and all."""


def _text(name: str, value: Any, kind: Kind) -> str | None:
    """A member's value as the text that columns are made from. Raises _BadLine."""
    if value is None:
        return None
    if kind == "texts" and type(value) is list and all(type(item) is str for item in value):
        return json.dumps(value)
    text = kind == "text"
    if isinstance(value, bool) and not text:
        return str(value).lower()
    if isinstance(value, str) and not (text and isinstance(value, _Number)):
        return str(value)
    raise _BadLine(RejectCode.SCHEMA_TYPE, f"{name}: {str(value)[:60]} is of the wrong type")
