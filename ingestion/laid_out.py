"""Records laid end to end in one buffer, and vectors of positions in it.

Nothing is copied per record: a text column is an Arrow array of views into the buffer, and bytes
are compared eight at a time.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Mask = NDArray[np.bool_]

QUOTE, BACKSLASH, SPACE, DELETE = 0x22, 0x5C, 0x20, 0x7F
PAD = 16  # so that a word may be read anywhere, also at the last byte
INLINE = 12  # Arrow keeps texts up to this length in the view itself
MAX_BYTES = 2**31 - 1 - 2 * PAD  # Arrow's views count in 32 bits

# Of a word read at a position, the bytes that belong to a text of the length that is the index.
_LOW = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)


class LaidOut(Sequence[bytes]):
    """Records in one buffer, a line each. Positions are the buffer's, ends exclusive, all int64."""

    def __init__(self, chunks: Iterable[bytes], lengths: Ints) -> None:
        """`chunks` are records joined by line ends; `lengths` of all records, one by one."""
        self.buffer = b"\n".join((*chunks, bytes(PAD)))
        self.ends: Ints = np.cumsum(lengths + 1) - 1
        self.starts: Ints = self.ends - lengths
        self.octets = np.frombuffer(self.buffer, np.uint8)
        # A word for each byte: they overlap, and reading one is a plain load.
        self.words: Words = np.ndarray(
            (len(self.buffer) - 7,), np.dtype("<u8"), buffer=self.buffer, strides=(1,)
        )

    @classmethod
    def of(cls, records: Sequence[bytes]) -> "LaidOut":
        """The same records in one buffer."""
        return cls([b"\n".join(records)], lengths_of(records))

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        return self.buffer[self.starts[place] : self.ends[place]]

    @cached_property
    def quotes(self) -> Ints:
        """Positions of the quotation marks of all records."""
        return np.flatnonzero(self.octets == QUOTE)

    @cached_property
    def first_quote(self) -> Ints:
        """Index into `quotes` of each record's first one."""
        return np.searchsorted(self.quotes, self.starts)

    @cached_property
    def quote_count(self) -> Ints:
        """Number of quotation marks in each record."""
        return np.diff(self.first_quote, append=len(self.quotes))

    def plain(self) -> Mask:
        """Which records are printable ASCII without a backslash: every byte means itself."""
        odd = (self.octets - np.uint8(SPACE)) >= DELETE - SPACE  # wraps below the space
        if self.buffer.find(b"\\") >= 0:
            odd |= self.octets == BACKSLASH
        if np.count_nonzero(odd) == len(self) + PAD:  # the line ends, and the padding
            return np.ones(len(self), dtype=np.bool_)
        before = np.concatenate(([0], np.cumsum(odd)))
        plain: Mask = before[self.ends] == before[self.starts]
        return plain

    def holds(self, positions: Ints, text: bytes) -> Mask:
        """Where does `text` stand at the positions?"""
        size = len(text)
        if size < 8:
            held: Mask = (self.words[positions] & _LOW[size]) == _word(text)
            return held
        at = [*range(0, size - 7, 8), *([size - 8] if size % 8 else [])]
        held = self.words[positions + at[0]] == _word(text[:8])
        for offset in at[1:]:
            held &= self.words[positions + offset] == _word(text[offset : offset + 8])
        return held

    def texts(self, starts: Ints, ends: Ints) -> pl.Series:
        """The texts between the positions, as views into the buffer."""
        lengths = (ends - starts).astype(np.uint64)
        prefix = self.words[starts]
        views = np.empty((len(starts), 2), dtype=np.uint64)
        first = np.minimum(lengths, np.uint64(4))
        rest = np.minimum(lengths, np.uint64(INLINE)) - first
        views[:, 0] = ((prefix & _LOW[first]) << np.uint64(32)) | lengths
        views[:, 1] = self.words[starts + 4] & _LOW[rest]
        long = lengths > INLINE
        if long.any():  # buffer number 0, then the position in it
            elsewhere = starts.astype(np.uint64) << np.uint64(32)
            views[:, 1] = np.where(long, elsewhere, views[:, 1])
        buffers = [None, pa.py_buffer(views), pa.py_buffer(self.buffer)]
        array = pa.Array.from_buffers(pa.string_view(), len(starts), buffers)
        series = pl.from_arrow(array)
        assert isinstance(series, pl.Series)
        return series


def lengths_of(records: Sequence[bytes]) -> Ints:
    """Bytes of each record."""
    return np.fromiter(map(len, records), np.int64, len(records))


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))
