"""Files as a source: a file is a unit, its rows are positions, and it lands once.

A unit is named by its content and the parameters in its name, so the same file offered again,
under another name or from another folder, is the same unit.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from contracts.base import Contract
from ingestion.batch import Batch, Decoded
from ingestion.feeds.binding import Bound, bind_indexes, bind_names
from ingestion.feeds.catalog import OWN_NAME, SUFFIXES, find_feed
from ingestion.feeds.mapping import Feed, FileRefused
from ingestion.feeds.parameters import resolve
from ingestion.feeds.table import check_types, decode_table, raw_rows
from ingestion.feeds.text import decode_csv, decode_objects, split_header, unit_of_first
from ingestion.sources.base import Positions
from ingestion.sources.members import (
    Lines,
    Member,
    digest,
    is_parquet,
    members,
    open_table,
    table_batches,
)
from ingestion.wire import decode_wire
from lake.bronze import Span
from lake.layout import layout
from lake.readings import Reading, keep
from lake.receipts import receive
from lake.settings import Settings

log = structlog.get_logger()

Raw = Callable[[Sequence[int]], list[bytes]]

FIRST_LINES = 100  # what tells the unit of a file's times
DAY_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}")


class FileSource:
    """One file of a feed: one unit, or one per member where it is a zip."""

    def __init__(
        self, feed: Feed, path: Path, settings: Settings, parameters: dict[str, Any] | None = None
    ) -> None:
        """`parameters` are what the file's name would say, and win over it."""
        self.feed = feed
        self.contract = feed.contract
        self.path = path
        self.settings = settings
        self.parameters = dict(parameters or {})
        self.source = feed.source or feed.name

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Batches of at most batch_rows rows, each unit from where the table stands.

        Raises FileRefused when the file does not fit its feed or changes while it is read.
        """
        for member in members(self.path):
            stamp = member.stamp()
            parameters = resolve(self.feed, member.names, self.parameters)
            unit, size = unit_of(self.feed, member, parameters)
            received = receive(layout(self.settings), unit, member.label, size).received_ns
            for batch in self._records(member, parameters, unit, received, positions(unit)):
                if member.stamp() != stamp:
                    raise FileRefused(
                        f"{member.label}: changed while it was read; write files under a name "
                        "that ends in .part and rename them when they are whole"
                    )
                yield batch

    def waiting(self, positions: Positions) -> int:
        """How many rows `batches` would hand over; reads the file and keeps nothing of it.

        Raises FileRefused as `batches` does.
        """
        rows = 0
        for member in members(self.path):
            parameters = resolve(self.feed, member.names, self.parameters)
            unit, _ = unit_of(self.feed, member, parameters)
            rows += sum(b.size for b in self._records(member, parameters, unit, 0, positions(unit)))
        return rows

    def acknowledge(self, batch: Batch) -> None:
        """Nothing to forget: the table remembers how far the file is landed."""

    def close(self) -> None:
        """Nothing is held between batches."""

    def _records(
        self, member: Member, parameters: dict[str, str], unit: str, received: int, first: int
    ) -> Iterator[Batch]:
        if self.feed.format == "dbn":
            return self._dbn(member, parameters, unit, received, first)
        parquet = is_parquet(member)
        if parquet and self.feed.format in ("parquet", "csv_or_parquet"):
            return self._tables(member, parameters, unit, received, first)
        if parquet or self.feed.format == "parquet":
            found = "is" if parquet else "is not"
            raise FileRefused(f"{member.label}: {found} Parquet; the feed says {self.feed.format}")
        return self._lines(member, parameters, unit, received, first)

    def _lines(
        self, member: Member, parameters: dict[str, str], unit: str, received: int, first: int
    ) -> Iterator[Batch]:
        with member.open() as stream:
            lines = Lines(stream, member.label)
            bound = self._bound(lines, parameters, member.label)
            reading = Reading(bound.names, (), parameters, bound.unit)
            for position, records in lines.batches(first, self.settings.batch_rows):
                yield Batch(
                    contract=self.contract,
                    source=self.source,
                    provenance=_provenance(unit, received, position, len(records)),
                    spans=[Span(unit, position, position + len(records), len(records))],
                    raw=self._keeping(unit, reading, partial(_raw_lines, records)),
                    decode=partial(self._decode, bound, records),
                )

    def _bound(self, lines: Lines, parameters: dict[str, str], where: str) -> Bound:
        if self.feed.format == "jsonl":
            return Bound(self.feed, {}, _own_labels(self.feed), parameters, 0)
        if self.feed.indexed:
            bound = bind_indexes(self.feed, parameters)
            if b"".join(lines.peek(1)) in self._header_lines:
                lines.first()
        else:
            bound = bind_names(self.feed, self._header(lines, where), parameters, where)
        if self.feed.time.unit == "auto" and (first := lines.peek(FIRST_LINES)):
            return replace(bound, unit=unit_of_first(bound, first, where))
        return bound

    @cached_property
    def _header_lines(self) -> set[bytes]:
        return {line.encode() for line in self.feed.header_lines}

    def _header(self, lines: Lines, where: str) -> list[str]:
        header = lines.first()
        if header is None:
            raise FileRefused(f"{where}: is empty; feed {self.feed.name} wants a header line")
        try:
            return split_header(header, self.feed.separator)
        except ValueError as error:
            raise FileRefused(f"{where}: the first line is no header: {error}") from None

    def _keeping(self, unit: str, reading: Reading, raw: Raw) -> Raw:
        """Gives the bytes of rows, once it is kept how to read them again."""

        def take(places: Sequence[int]) -> list[bytes]:
            if len(places):
                keep(layout(self.settings), unit, reading)
            return raw(places)

        return take

    def _decode(self, bound: Bound, records: list[bytes]) -> Decoded:
        limit = self.settings.max_record_bytes
        if self.feed.format != "jsonl":
            return decode_csv(bound, records, limit)
        if self.feed.columns is None:
            return decode_wire(self.contract, records, limit)
        return decode_objects(bound, records, limit)

    def _tables(
        self, member: Member, parameters: dict[str, str], unit: str, received: int, first: int
    ) -> Iterator[Batch]:
        with open_table(member) as table:
            names = table.schema_arrow.names
            bound = bind_names(self.feed, names, parameters, member.label)
            types = tuple(map(str, pl.DataFrame(table.schema_arrow.empty_table()).dtypes))
            reading = Reading(bound.names, types, parameters)
            for position, frame in table_batches(table, first, self.settings.batch_rows):
                check_types(bound, frame, member.label)
                yield Batch(
                    contract=self.contract,
                    source=self.source,
                    provenance=_provenance(unit, received, position, frame.height),
                    spans=[Span(unit, position, position + frame.height, frame.height)],
                    raw=self._keeping(unit, reading, partial(raw_rows, frame)),
                    decode=partial(decode_table, bound, frame),
                )

    def _dbn(
        self, member: Member, parameters: dict[str, str], unit: str, received: int, first: int
    ) -> Iterator[Batch]:
        from ingestion.feeds.dbn import DbnFile

        with member.open() as stream:
            file = DbnFile(stream, self.feed.schemas, member.label)
            bound = bind_names(self.feed, file.fields, parameters, member.label)
            for position, records in file.chunks(first, self.settings.batch_rows):
                yield Batch(
                    contract=self.contract,
                    source=self.source,
                    provenance=_provenance(unit, received, position, len(records)),
                    spans=[Span(unit, position, position + len(records), len(records))],
                    raw=records.raw,
                    decode=partial(file.decode, bound, records),
                )


def unit_of(feed: Feed, member: Member, parameters: dict[str, str]) -> tuple[str, int]:
    """Name of the unit that a member is, and its size in bytes."""
    said = json.dumps(parameters, sort_keys=True).encode()
    sha, size = digest(member, said + b"\n")
    return f"file:{feed.name}:{sha[:32]}", size


def file_source(
    settings: Settings, path: Path, feed: str, **parameters: Any
) -> tuple[Contract, FileSource]:
    """One file under a feed's mapping; `parameters` stand in for what its name does not say.

    Raises FeedError for an unknown or wrong mapping, FileRefused when the file is not there.
    """
    if not path.is_file():
        raise FileRefused(f"{path}: no such file")
    mapping = find_feed(settings, feed)
    return mapping.contract, FileSource(mapping, path, settings, parameters)


def inbox_sources(settings: Settings, day: date | None = None) -> list[tuple[Contract, FileSource]]:
    """Files of the inbox in order: `<feed>/<YYYY-MM-DD>/*`, and `<feed>/*` where no day is asked.

    Hidden files, names that start with _ and those that end in .part are left alone. Raises
    FeedError for a folder that is no feed, before anything is landed.
    """
    found: list[tuple[Contract, FileSource]] = []
    for folder in _visible(settings.inbox):
        if not folder.is_dir():
            log.warning("not landed", path=str(folder), reason="it lies in no feed's folder")
            continue
        feed = find_feed(settings, folder.name)
        found += [(feed.contract, FileSource(feed, path, settings)) for path in _files(folder, day)]
    return found


def _files(folder: Path, day: date | None) -> list[Path]:
    if day is not None:
        return [path for path in _visible(folder / day.isoformat()) if path.is_file()]
    files: list[Path] = []
    for path in _visible(folder):
        if path.is_file():
            own = path.stem == OWN_NAME and path.suffix in SUFFIXES
            files += [] if own else [path]
        elif DAY_FOLDER.fullmatch(path.name):
            files += [inside for inside in _visible(path) if inside.is_file()]
        else:
            log.warning("not landed", path=str(path), reason="a folder is a day, YYYY-MM-DD")
    return files


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "_")) and not path.name.endswith(".part")
    )


def _provenance(unit: str, received: int, position: int, rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"position": pl.int_range(position, position + rows, dtype=pl.Int64, eager=True)}
    ).select(
        pl.lit(received, pl.Int64).alias("recv_ts_ns"),
        pl.lit(unit).alias("unit"),
        "position",
        pl.lit(unit).alias("delivery_unit"),
    )


def _raw_lines(lines: list[bytes], rows: Sequence[int]) -> list[bytes]:
    return [lines[row] for row in rows]


def _own_labels(feed: Feed) -> dict[str, str]:
    return {column: str(name) for name, column in (feed.columns or {}).items()}
