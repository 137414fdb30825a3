"""What passes between the steps of landing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from contracts.base import Contract
from lake.bronze import Span

REJECT_SCHEMA = pl.Schema({"i": pl.UInt32, "code": pl.String, "message": pl.String})


@dataclass(frozen=True)
class Decoded:
    """Records as canonical columns, and those that could not be read.

    `frame` has the contract's columns and `i`, the record's place in the batch. `rejects` has
    `i`, `code` and `message`. Every record is in exactly one of the two.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True)
class Batch:
    """Records of one dataset with their positions, as a source hands them over.

    `provenance` has a row per record: recv_ts_ns (nullable), unit, position, delivery_unit
    (nullable). `spans` says which positions of which unit the batch consumes, holes included.
    `raw` gives the bytes of the records asked for, `decode` reads them all.
    """

    contract: Contract
    source: str
    provenance: pl.DataFrame
    spans: Sequence[Span]
    raw: Callable[[Sequence[int]], list[bytes]]
    decode: Callable[[], Decoded]

    @property
    def size(self) -> int:
        """Number of records."""
        return self.provenance.height


def rejects(rows: Sequence[tuple[int, str, str]]) -> pl.DataFrame:
    """Rejects as a frame, from (i, code, message) tuples."""
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")
