"""Lines of the compact format to the text of each value; the format itself is in compact.py."""

import re
from collections.abc import Iterator, Sequence

import msgspec
import polars as pl

from contracts.base import Column
from contracts.codes import RejectCode
from ingestion.feeds.sides import Reject

_STRING = r'(?P<string>"(?:[^"\\]|\\.)*")'
_LIST = r'(?P<list>\[[^\]"\n]*(?:"(?:[^"\\]|\\.)*"[^\]"\n]*)*\])'
_BARE = r'[^,"\n]*'
_FIELD = re.compile(f"{_STRING}|{_BARE}")
_LIST_FIELD = re.compile(f"{_STRING}|{_LIST}|{_BARE}")


def split_lines(
    columns: Sequence[Column], text: pl.Series, places: pl.Series
) -> tuple[dict[str, pl.Series], pl.Series, list[Reject]]:
    """Text of each column, in the places that are returned, and the lines that gave none.

    Lines without a quotation mark or a list are split in bulk, the others one by one, with the same
    outcome.
    """
    commas = text.str.count_matches(",", literal=True)
    plain = (commas <= len(columns)) & ~text.str.contains('"', literal=True)
    plain &= ~text.str.contains("\n", literal=True)
    if any(column.kind == "texts" for column in columns):
        plain &= ~text.str.contains(",[", literal=True)
    whole = bool(plain.all())
    bulk = text if whole else text.filter(plain)
    width: int = commas.max() if whole else commas.filter(plain).max() or 0  # type: ignore[assignment]
    split = bulk.str.split_exact(",", max(width, 1)).struct.unnest()
    cells = {c.name: split.to_series(k) for k, c in enumerate(columns[: split.width - 1], 1)}
    if whole:
        return cells, places, []
    more, taken, refused = _one_by_one(columns, text, places, (~plain).arg_true().to_list())
    for place, column in enumerate(columns):
        own = pl.Series([fields[place] for fields in more], dtype=pl.String)
        bulk_cells = cells.get(column.name)
        if bulk_cells is None:
            bulk_cells = pl.Series([None], dtype=pl.String).new_from_index(0, len(bulk))
        cells[column.name] = pl.concat([bulk_cells.alias(""), own])
    return cells, pl.concat([places.filter(plain), places.gather(taken)]), refused


def _one_by_one(
    columns: Sequence[Column], text: pl.Series, places: pl.Series, rows: list[int]
) -> tuple[list[list[str | None]], list[int], list[Reject]]:
    found: list[list[str | None]] = []
    taken: list[int] = []
    refused: list[Reject] = []
    for row, line in zip(rows, text.gather(rows).to_list(), strict=True):
        try:
            fields = list(_fields(columns, line))
        except _BadRecord as error:
            refused.append((places[row], error.code.value, str(error)))
        else:
            found.append([*fields, *[None] * (len(columns) - len(fields))])
            taken.append(row)
    return found, taken, refused


class _BadRecord(ValueError):
    """A line that gives no row, with its code."""

    def __init__(self, code: RejectCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def _fields(columns: Sequence[Column], line: str) -> Iterator[str]:
    """Text of the values in a line, strings unquoted, lists as they are. Raises _BadRecord."""
    at = line.index(",")
    for column in columns:
        found = (_LIST_FIELD if column.kind == "texts" else _FIELD).match(line, at + 1)
        at = found.end() if found else at + 1
        if found is None or (at < len(line) and line[at] != ","):
            why = f"{column.wire}: broken quotation at character {at}"
            raise _BadRecord(RejectCode.PARSE_ERROR, why)
        yield _unquoted(column, found)
        if at == len(line):
            return
    if at < len(line):
        why = f"{line.count(',')} values or more; the version has {len(columns)}"
        raise _BadRecord(RejectCode.PARSE_ERROR, why)


def _unquoted(column: Column, found: re.Match[str]) -> str:
    if found["string"] is not None:
        if column.kind != "text":
            why = f"{column.wire}: a string where a {column.kind} is due"
            raise _BadRecord(RejectCode.SCHEMA_TYPE, why)
        try:
            return msgspec.json.decode(found["string"], type=str)
        except msgspec.DecodeError as error:
            why = f"{column.wire}: not a JSON string: {error}"
            raise _BadRecord(RejectCode.PARSE_ERROR, why) from None
    return found[0]
