"""Records of a DBN stream, told apart by the lengths that they begin with."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from contracts.codes import RejectCode
from ingestion.feeds.mapping import FileRefused
from ingestion.feeds.sides import Reject

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH_UNIT = 4  # a record's first byte counts its size in these
LONGEST = 255 * LENGTH_UNIT
CHUNK_BYTES = 16 << 20  # a chunk ends here even when it holds fewer rows than asked for


@dataclass(frozen=True)
class Records:
    """Some records: where each begins and ends in `buffer`, and why some are none of the file's."""

    buffer: bytes
    starts: "NDArray[np.int64]"
    ends: "NDArray[np.int64]"
    refused: list[Reject]

    def __len__(self) -> int:
        return len(self.starts)

    def raw(self, places: Collection[int]) -> list[bytes]:
        """The bytes of the records at these places."""
        return [self.buffer[self.starts[place] : self.ends[place]] for place in places]

    def behind(self, first: int) -> "Records":
        """Without the first records."""
        refused = [(place - first, code, why) for place, code, why in self.refused]
        kept = [reject for reject in refused if reject[0] >= 0]
        return Records(self.buffer, self.starts[first:], self.ends[first:], kept)

    def good(self, dtype: "np.dtype[Any]") -> "tuple[NDArray[np.int64], NDArray[Any]]":
        """Places and contents of the records that are the file's own."""
        places = np.delete(np.arange(len(self)), [place for place, _, _ in self.refused])
        if not self.refused:
            first = int(self.starts[0]) if len(self) else 0
            return places, np.frombuffer(self.buffer, dtype, len(self), first)
        joined = b"".join(self.raw(places.tolist()))
        return places, np.frombuffer(joined, dtype)


class RecordReader:
    """Chunks of records from a stream that stands behind its metadata.

    A file holds records of one kind, of `size` bytes and type `rtype`. One of another kind is
    refused alone, as is what stands behind the last whole record.
    """

    def __init__(self, stream: BinaryIO, size: int, rtype: int, label: str) -> None:
        self._stream = stream
        self._size = size
        self._rtype = rtype
        self._label = label
        self._count = 0

    def chunks(self, rows: int) -> Iterator[Records]:
        """All records in order, at most `rows` at a time."""
        rows = max(1, min(rows, CHUNK_BYTES // self._size))
        rest, ended = b"", False
        while not ended or rest:
            wanted = max(rows * self._size, LONGEST) - len(rest)
            if not ended and wanted > 0:
                read = self._stream.read(wanted)
                ended = not read
                rest += read
            found = self._told_apart(rest, rows)
            if len(found):
                rest = rest[int(found.ends[-1]) :]
                self._count += len(found)
                yield found
            elif ended and rest:
                why = f"the file ends within a record, after {len(rest)} bytes of it"
                refused = [(0, RejectCode.PARSE_ERROR.value, why)]
                yield Records(rest, np.array([0]), np.array([len(rest)]), refused)
                rest = b""

    def _told_apart(self, buffer: bytes, rows: int) -> Records:
        whole = min(len(buffer) // self._size, rows)
        heads = np.frombuffer(buffer, np.uint8, whole * self._size).reshape(whole, self._size)
        alike = (heads[:, 0] == self._size // LENGTH_UNIT) & (heads[:, 1] == self._rtype)
        if whole and bool(alike.all()):
            starts = np.arange(whole, dtype=np.int64) * self._size
            return Records(buffer, starts, starts + self._size, [])
        return self._walked(buffer, rows)

    def _walked(self, buffer: bytes, rows: int) -> Records:
        starts: list[int] = []
        ends: list[int] = []
        refused: list[Reject] = []
        at = 0
        while at < len(buffer) and len(starts) < rows:
            length = buffer[at] * LENGTH_UNIT
            if not length:
                raise FileRefused(
                    f"{self._label}: record {self._count + len(starts)} says that it has no "
                    "length, so where the next one begins is unknown; the file is damaged"
                )
            if at + length > len(buffer):
                break
            if length != self._size or buffer[at + 1] != self._rtype:
                why = f"a record of type {buffer[at + 1]} and {length} bytes, not of the schema"
                refused.append((len(starts), RejectCode.UNKNOWN_MSG_TYPE.value, why))
            starts.append(at)
            ends.append(at + length)
            at += length
        return Records(buffer, np.array(starts, np.int64), np.array(ends, np.int64), refused)
