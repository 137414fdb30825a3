"""Files as streams of bytes: plain, gzip, zstd or in a zip; told apart by their first bytes.

Two passes are made over a stream: one for its digest, which also proves that it can be read to its
end, and one for its records. Memory is bounded by a batch in both.
"""

import gzip
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.feeds.mapping import FileRefused

CHUNK = 1 << 20
BATCH_BYTES = 64 << 20  # a batch ends here even when its lines are few
LONGEST_LINE = 64 << 20  # beyond this it is not a file of lines
PARQUET_MAGIC = b"PAR1"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
BOM = b"\xef\xbb\xbf"
_UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True)
class Member:
    """One stream of records: a file, what is in a gzip or zstd file, or one member of a zip."""

    path: Path
    inside: str | None = None
    packed: Literal["gzip", "zstd"] | None = None  # not a zip's member

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"{self.path}!{self.inside}" if self.inside else str(self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """Names that may carry parameters, the most specific first."""
        own = (PurePosixPath(self.inside).name,) if self.inside else ()
        return (*own, self.path.name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The uncompressed bytes. Raises FileRefused where they cannot be read."""
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self._stream(stack))
            except _UNREADABLE as error:
                raise FileRefused(f"{self.label}: cannot be read: {error}") from error
            yield stream

    def _stream(self, stack: ExitStack) -> BinaryIO:
        if self.inside:
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            return cast(BinaryIO, archive.open(self.inside))
        if self.packed == "gzip":
            return cast(BinaryIO, gzip.open(self.path))
        if self.packed == "zstd":
            unpacked = stack.enter_context(pa.input_stream(self.path, compression="zstd"))
            return cast(BinaryIO, unpacked)
        return self.path.open("rb")

    def stamp(self) -> tuple[int, int]:
        """Size and modification time of the file: a change means that it is still being written."""
        facts = self.path.stat()
        return facts.st_size, facts.st_mtime_ns


def members(path: Path) -> list[Member]:
    """The streams of records in a file, in the order of the zip's own table."""
    with Member(path).open() as stream:
        magic = stream.read(4)
    if magic[:2] == b"\x1f\x8b":
        return [Member(path, packed="gzip")]
    if magic == ZSTD_MAGIC:
        return [Member(path, packed="zstd")]
    if magic not in (b"PK\x03\x04", b"PK\x05\x06"):
        return [Member(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise FileRefused(f"{path}: cannot be read: {error}") from error
    return [Member(path, inside=name) for name in names if not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def digest(member: Member, seed: bytes) -> tuple[str, int]:
    """SHA-256 over `seed` and the member's bytes, as hex, and their number.

    Raises FileRefused when the file is damaged, before anything of it is landed.
    """
    sha, size = hashlib.sha256(seed), 0
    with member.open() as stream:
        try:
            while chunk := stream.read(CHUNK):
                sha.update(chunk)
                size += len(chunk)
        except _UNREADABLE as error:
            raise FileRefused(f"{member.label}: cannot be read: {error}") from error
    return sha.hexdigest(), size


class Lines:
    """Physical lines of a stream, without their line ends. What follows the last one counts."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        start = stream.read(len(BOM))
        self._rest = b"" if start == BOM else start
        self._ready: list[bytes] = []
        self._ended = False

    def first(self) -> bytes | None:
        """Take one line; None when there is none."""
        while not self._ready and not self._ended:
            self._fill()
        return self._ready.pop(0) if self._ready else None

    def peek(self, rows: int) -> list[bytes]:
        """The next lines, at most `rows`, without taking them."""
        while len(self._ready) < rows and not self._ended:
            self._fill()
        return self._ready[:rows]

    def batches(self, skip: int, rows: int) -> Iterator[tuple[int, list[bytes]]]:
        """(index of the first line, at most `rows` lines), leaving the first `skip` lines out."""
        index, size, batch = 0, 0, list[bytes]()
        while self._ready or not self._ended:
            if not self._ready:
                self._fill()
                continue
            if index < skip:
                passed = min(skip - index, len(self._ready))
                index += passed
                del self._ready[:passed]
                continue
            taken = self._ready[: rows - len(batch)]
            del self._ready[: len(taken)]
            batch += taken
            size += sum(map(len, taken))
            if len(batch) >= rows or size >= BATCH_BYTES:
                yield index, batch
                index, size, batch = index + len(batch), 0, []
        if batch:
            yield index, batch

    def _fill(self) -> None:
        chunk = self._stream.read(CHUNK)
        data = self._rest + chunk
        if not chunk:
            self._ended = True
            self._ready += [data.removesuffix(b"\r")] if data else []
            self._rest = b""
            return
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise FileRefused(
                f"{self._label}: a line is longer than {LONGEST_LINE >> 20} MB; this is not a "
                "file of lines"
            )
        if b"\r\n" in data:
            lines = [line.removesuffix(b"\r") for line in lines]
        self._ready += lines


def is_parquet(member: Member) -> bool:
    """Do the member's bytes begin as Parquet does?"""
    with member.open() as stream:
        return stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


@contextmanager
def open_table(member: Member) -> Iterator[pq.ParquetFile]:
    """The member as a Parquet file; a compressed one is unpacked into a temporary file first."""
    with member.open() as stream:
        try:
            if member.inside or member.packed:
                with tempfile.TemporaryFile() as unpacked:
                    shutil.copyfileobj(stream, unpacked, CHUNK)
                    unpacked.seek(0)
                    yield pq.ParquetFile(unpacked)
            else:
                yield pq.ParquetFile(stream)
        except pa.ArrowException as error:
            raise FileRefused(f"{member.label}: not readable as Parquet: {error}") from error


def table_batches(
    table: pq.ParquetFile, skip: int, rows: int
) -> Iterator[tuple[int, pl.DataFrame]]:
    """(index of the first row, at most `rows` rows), leaving the first `skip` rows out.

    Row groups that are skipped whole are not read.
    """
    groups = list(range(table.num_row_groups))
    index = 0
    while groups and index + table.metadata.row_group(groups[0]).num_rows <= skip:
        index += table.metadata.row_group(groups.pop(0)).num_rows
    for read in table.iter_batches(batch_size=rows, row_groups=groups):
        late = max(skip - index, 0)
        if late < read.num_rows:
            yield index + late, pl.DataFrame(pl.from_arrow(read.slice(late)))
        index += read.num_rows
