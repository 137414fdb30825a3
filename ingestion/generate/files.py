"""Generated messages as files: CSV, JSON lines or Parquet, each under its name only when whole.

Columns have their names on the wire, so that the feeds `generic_<dataset>` (CSV, Parquet) and
`json_<dataset>` (JSON lines) read the files back.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.base import Column
from ingestion.generate.encode import Form, decimal_text, time_text
from ingestion.generate.stream import Block
from lake.durable import sync_file, sync_folders

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
PART = ".part"  # the inbox leaves such files alone

SAMPLE_ROWS = 10_000
FEW_SHARE = 0.2  # a column that repeats itself this much in the sample gets a dictionary
INTEGER_DIGITS = 18  # decimals up to here are integers in Parquet
OLDEST = pl.CompatLevel.oldest()  # Parquet knows no string views

Wrote = Callable[[int], None]


class Writer(Protocol):
    """An open file that takes blocks."""

    def write(self, block: Block) -> None:
        """Append the messages of a block."""

    def close(self) -> None:
        """Finish the file."""


def write_file(path: Path, form: Form, blocks: Iterable[Block], wrote: Wrote) -> int:
    """Write blocks to `path` in the format its suffix says; returns the size in bytes.

    `wrote` is told how many messages each block had. Without a block there is a file without rows.
    When anything is raised meanwhile, KeyboardInterrupt too, nothing is left at `path`.
    """
    with whole_file(path) as part:
        with closing(_WRITERS[_format_of(path)](part, form)) as writer:
            for block in blocks:
                writer.write(block)
                wrote(len(block))
        return part.stat().st_size


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write under; the file gets its own, durably, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    try:
        yield part
        sync_file(part)
        part.replace(path)
        sync_folders([path.parent])
    finally:
        part.unlink(missing_ok=True)


def remove(folder: Path, pattern: str) -> None:
    """Remove the files of a folder whose whole name matches, and their unfinished drafts.

    The folder may be anybody's: what an earlier run wrote is known by its name alone.
    """
    named = re.compile(rf"({pattern})({re.escape(PART)})?")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and named.fullmatch(path.name):
            path.unlink()


def _format_of(path: Path) -> Format:
    for known in FORMATS:
        if path.suffix == f".{known}":
            return known
    raise ValueError(f"{path}: the name has to end in .{', .'.join(FORMATS)}")


class _JsonLines:
    """The bytes of the messages as they are, a line each."""

    def __init__(self, path: Path, form: Form) -> None:  # noqa: ARG002 (every writer is told)
        self._file = path.open("wb")

    def write(self, block: Block) -> None:
        ended = block.values.to_frame("value").select(pl.col("value") + pl.lit(b"\n"))
        lines = ended.to_series().to_arrow(compat_level=OLDEST)
        # One buffer holds them all, line after line.
        offsets = np.frombuffer(lines.buffers()[1], dtype=np.int64)[lines.offset :]
        self._file.write(memoryview(lines.buffers()[2])[offsets[0] : offsets[len(lines)]])

    def close(self) -> None:
        self._file.close()


class _Csv:
    """A header, then a line per message; times and numbers as in the JSON, lists as JSON."""

    def __init__(self, path: Path, form: Form) -> None:
        self._form = form
        self._file = path.open("wb")
        self._has_header = False

    def write(self, block: Block) -> None:
        self._write(block.frame, self._form.columns(block.frame))

    def close(self) -> None:
        if not self._has_header:
            columns = self._form.contract.columns
            pl.DataFrame(schema=[c.wire for c in columns]).write_csv(self._file)
        self._file.close()

    def _write(self, frame: pl.DataFrame, columns: list[Column]) -> None:
        texts = frame.select(_cell(self._form, frame, column) for column in columns)
        texts.write_csv(self._file, include_header=not self._has_header)
        self._has_header = True


class _Parquet:
    """A row group per block, zstd; decimals and times typed."""

    def __init__(self, path: Path, form: Form) -> None:
        self._form = form
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def write(self, block: Block) -> None:
        self._append(table(self._form, block.frame, block.typed))

    def close(self) -> None:
        if self._writer is None:
            columns = [pl.Series(c.name, [], dtype=c.dtype) for c in self._form.contract.columns]
            no_rows = pl.DataFrame(columns).with_columns(event_us=pl.lit(None, pl.Int64))
            self._append(table(self._form, no_rows, no_rows))
        assert self._writer is not None
        self._writer.close()

    def _append(self, rows: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet_writer(self._path, rows)
        self._writer.write_table(rows)


_WRITERS: dict[Format, Callable[[Path, Form], Writer]] = {
    "csv": _Csv,
    "jsonl": _JsonLines,
    "parquet": _Parquet,
}


def table(form: Form, frame: pl.DataFrame, typed: pl.DataFrame) -> pa.Table:
    """Rows as a Parquet file holds them: what the frame has, by its name on the wire."""
    times = frame["event_us"].cast(pl.Datetime("us", "UTC"))
    columns = [
        (times if column.kind == "time" else typed[column.name]).alias(column.wire)
        for column in form.columns(frame)
    ]
    return pl.DataFrame(columns).to_arrow(compat_level=OLDEST)


def parquet_writer(path: Path | IO[bytes], rows: pa.Table) -> pq.ParquetWriter:
    """A writer whose encodings fit rows like these."""
    sample = pl.DataFrame(rows.slice(0, SAMPLE_ROWS))
    few = [name for name in sample.columns if _repeats(sample[name])]
    delta = {name: _delta(rows.schema.field(name).type) for name in sample.columns}
    return pq.ParquetWriter(
        path,
        rows.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=few,
        column_encoding={name: how for name, how in delta.items() if how and name not in few},
        store_decimal_as_integer=True,
    )


def _repeats(values: pl.Series) -> bool:
    if isinstance(values.dtype, pl.List):
        return False
    return values.n_unique() <= max(2, FEW_SHARE * len(values))


def _delta(dtype: pa.DataType) -> str | None:
    """The encoding of values that differ, but not by much from those before them."""
    if pa.types.is_large_string(dtype):
        return "DELTA_BYTE_ARRAY"
    short = pa.types.is_decimal128(dtype) and dtype.precision <= INTEGER_DIGITS
    if short or pa.types.is_integer(dtype) or pa.types.is_timestamp(dtype):
        return "DELTA_BINARY_PACKED"
    return None


def _cell(form: Form, frame: pl.DataFrame, column: Column) -> pl.Expr:
    """The text of a column in a CSV file."""
    at = pl.col(column.name)
    match column.kind:
        case "time":
            text = time_text(form, frame["event_us"]).str.strip_chars('"')
        case "decimal":
            text = decimal_text(at, form.scales.get(column.name, 0))
        case "texts":
            text = pl.concat_str(pl.lit('["'), at.list.join('","'), pl.lit('"]'))
            text = pl.when(at.list.len() == 0).then(pl.lit("[]")).otherwise(text)
        case _:
            text = at.cast(pl.String)
    return text.alias(column.wire)
