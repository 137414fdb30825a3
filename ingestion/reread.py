"""Bytes of rejected rows to columns again, by the way in which their source reads them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from contracts.base import Contract
from ingestion.batch import Decoded
from ingestion.decode import decode_json
from ingestion.feeds.binding import Bound, bind_indexes, bind_names
from ingestion.feeds.catalog import find_feed
from ingestion.feeds.mapping import Feed, FeedError, FileRefused
from ingestion.feeds.table import check_types, decode_table
from ingestion.feeds.text import decode_csv, decode_objects
from ingestion.wire import decode_wire
from lake import readings
from lake.layout import layout
from lake.readings import Reading
from lake.settings import Settings

FILE, VENDORS = "file:", ("alpaca:", "reddit:")
READ_BY_UNIT = (FILE, *VENDORS)  # rows of any other unit are records as they are on the wire

Reread = Callable[[list[bytes]], Decoded]


class Unreadable(ValueError):
    """Rows of a unit cannot be read again; the message says why and what to do."""


def reader_of(settings: Settings, contract: Contract, unit: str) -> Reread:
    """What decodes rejected rows of a unit: the wire format, or today's mapping of its feed or
    vendor.

    Raises Unreadable.
    """
    if unit.startswith(VENDORS):
        return _of_vendor(settings, contract, unit)
    if not unit.startswith(FILE):
        return partial(decode_wire, contract, max_bytes=settings.max_record_bytes)
    try:
        return _refusing(_of_file(settings, contract, unit), unit)
    except (FeedError, FileRefused, readings.ReadingBroken) as error:
        raise Unreadable(f"{unit}: {error}") from error


def _of_vendor(settings: Settings, contract: Contract, unit: str) -> Reread:
    """Rows that a vendor's own JSON is kept of."""
    from ingestion.vendors import wire_again

    wire = wire_again(settings, unit)
    assert wire is not None

    def read(records: list[bytes]) -> Decoded:
        again = [wire(record) for record in records]
        return decode_json(contract, again, settings.max_record_bytes)

    return read


def _refusing(reread: Reread, unit: str) -> Reread:
    """Some refusals of a mapping come with the first row."""

    def read(records: list[bytes]) -> Decoded:
        try:
            return reread(records)
        except FileRefused as error:
            raise Unreadable(f"{unit}: {error}") from error

    return read


def _of_file(settings: Settings, contract: Contract, unit: str) -> Reread:
    feed = find_feed(settings, unit.split(":")[1])
    if feed.dataset != contract.dataset:
        raise FeedError(f"feed {feed.name} is of {feed.dataset} now, not of {contract.dataset}")
    if feed.format == "dbn":
        raise Unreadable(
            f"{unit}: a DBN record names its instrument by a number that only the head of its file "
            "explains, and no head is kept; write that head and the exported records "
            "(`ticklake quarantine export`) to a file and land that"
        )
    limit = settings.max_record_bytes
    if feed.format == "jsonl" and feed.columns is None:
        return partial(decode_wire, contract, max_bytes=limit)
    reading = readings.kept(layout(settings), unit) or _without(feed, unit)
    if reading.types:
        bound = bind_names(feed, reading.columns, reading.parameters, unit)
        return partial(_decode_rows, bound, reading, unit)
    if feed.format == "jsonl":
        labels = {column: str(name) for name, column in (feed.columns or {}).items()}
        bound = Bound(feed, {}, labels, reading.parameters, 0)
        return partial(decode_objects, bound, max_bytes=limit)
    if feed.indexed:
        bound = bind_indexes(feed, reading.parameters)
    else:
        bound = bind_names(feed, reading.columns, reading.parameters, unit)
    bound = replace(bound, unit=reading.time_unit)
    return partial(decode_csv, bound, max_bytes=limit)


def _without(feed: Feed, unit: str) -> Reading:
    """A mapping that needs neither header nor file name can do without what was kept."""
    if not feed.parameters() and (feed.indexed or feed.format == "jsonl"):
        return Reading()
    raise Unreadable(
        f"{unit}: how the file's columns were read was not kept when it landed; export its rows "
        "(`ticklake quarantine export`), write them to a file with a header and land that"
    )


def _decode_rows(bound: Bound, reading: Reading, unit: str, records: list[bytes]) -> Decoded:
    """Rows of a Parquet file, which are kept as JSON."""
    rows = [json.loads(record, parse_int=str, parse_float=str) for record in records]
    frame = pl.DataFrame(
        [
            _column(name, dtype, [row.get(name) for row in rows])
            for name, dtype in zip(reading.columns, reading.types, strict=True)
        ]
    )
    check_types(bound, frame, unit)
    return decode_table(bound, frame)


def _column(name: str, dtype: str, values: Sequence[Any]) -> pl.Series:
    """A column as the file had it: of its own type where that decides how a value is read.

    Any other type is read by its text, so text does as well.
    """
    if dtype.startswith("List"):
        return pl.Series(name, values, dtype=pl.List(pl.String))
    if dtype.startswith("Datetime"):
        text = pl.Series(name, values, dtype=pl.String).str.replace(" ", "T", literal=True)
        if "time_zone=None" in dtype:
            return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="ns", strict=True)
        return text.str.to_datetime("%+", time_unit="ns", time_zone="UTC", strict=True)
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
