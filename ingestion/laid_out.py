"""Records laid end to end in one buffer, and vectors of positions in it.

Nothing is copied per record: a text column is an Arrow array of views into the buffer, and bytes
are compared eight at a time.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Self, overload

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

# Masks of the first n bytes of a word; and, for a text of n bytes, of the first four of it and of
# the eight behind those.
LOW = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
_PREFIX = LOW[[min(n, 4) for n in range(INLINE + 1)]]
_REST = LOW[[max(n - 4, 0) for n in range(INLINE + 1)]]


class LaidOut(Sequence[bytes]):
    """Records in one buffer, a line each. Positions are the buffer's, ends exclusive, all int64."""

    def __init__(self, buffer: bytes, starts: Ints, ends: Ints) -> None:
        """`buffer` ends in PAD bytes of no record, and a line end follows each record."""
        self.buffer = buffer
        self.starts = starts
        self.ends = ends
        self.octets = np.frombuffer(buffer, np.uint8)
        # A word for each byte: they overlap, and reading one is a plain load.
        self.words: Words = np.ndarray(
            (len(buffer) - 7,), np.dtype("<u8"), buffer=buffer, strides=(1,)
        )

    @classmethod
    def joined(cls, chunks: Iterable[bytes], lengths: Ints) -> Self:
        """From records joined by line ends, in chunks, and the lengths of all, one by one."""
        ends = np.cumsum(lengths + 1) - 1
        return cls(b"\n".join((*chunks, bytes(PAD))), ends - lengths, ends)

    @classmethod
    def of(cls, records: Sequence[bytes]) -> Self:
        """The same records in one buffer."""
        return cls.joined([b"\n".join(records)], lengths_of(records))

    def part(self, first: int, last: int) -> "LaidOut":
        """The records from `first` to `last`, excluded, in the same buffer."""
        return LaidOut(self.buffer, self.starts[first:last], self.ends[first:last])

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
        quotes: Ints = np.flatnonzero(self._lines == QUOTE) + self.starts[0]
        return quotes

    @cached_property
    def first_quote(self) -> Ints:
        """Index into `quotes` of each record's first one."""
        return np.searchsorted(self.quotes, self.starts)

    @cached_property
    def quote_count(self) -> Ints:
        """Number of quotation marks in each record."""
        return np.diff(self.first_quote, append=len(self.quotes))

    @property
    def _lines(self) -> NDArray[np.uint8]:
        """The bytes of all records and of the line ends behind them."""
        return self.octets[self.starts[0] : self.ends[-1] + 1]

    def plain(self) -> Mask:
        """Which records are printable ASCII without a backslash: every byte means itself."""
        odd = (self._lines - np.uint8(SPACE)) >= DELETE - SPACE  # wraps below the space
        odd |= self._lines == BACKSLASH
        if np.count_nonzero(odd) == len(self):  # the line ends
            return np.ones(len(self), dtype=np.bool_)
        at = np.flatnonzero(odd) + self.starts[0]
        plain: Mask = np.searchsorted(at, self.starts) == np.searchsorted(at, self.ends)
        return plain

    def holds(self, positions: Ints, text: bytes) -> Mask:
        """Where does `text` stand at the positions?"""
        size = len(text)
        if size < 8:
            held: Mask = (self.words[positions] & LOW[size]) == _word(text)
            return held
        at = [*range(0, size - 7, 8), *([size - 8] if size % 8 else [])]
        held = self.words[positions + at[0]] == _word(text[:8])
        for offset in at[1:]:
            held &= self.words[positions + offset] == _word(text[offset : offset + 8])
        return held

    def texts(self, starts: Ints, ends: Ints) -> pl.Series:
        """The texts between the positions, as views into the buffer."""
        lengths = (ends - starts).view(np.uint64)
        inline = np.minimum(lengths, np.uint64(INLINE))
        views = np.empty((len(starts), 2), dtype=np.uint64)
        prefix = self.words[starts] & _PREFIX[inline]
        views[:, 0] = (prefix << np.uint64(32)) | lengths
        views[:, 1] = self.words[starts + 4] & _REST[inline]
        if len(starts) and lengths.max() > INLINE:  # buffer number 0, then the position in it
            elsewhere = starts.view(np.uint64) << np.uint64(32)
            views[:, 1] = np.where(lengths > INLINE, elsewhere, views[:, 1])
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
