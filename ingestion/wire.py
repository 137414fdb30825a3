"""The two forms a record has on the wire, told apart by its first byte: JSON, or compact."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from contracts.base import Contract
from ingestion.batch import Decoded
from ingestion.compact import TAG, decode_compact
from ingestion.decode import decode_json
from ingestion.laid_out import LaidOut


def decode_wire(contract: Contract, records: Sequence[bytes], max_bytes: int) -> Decoded:
    """Decode records into the contract's columns; what cannot be read is a reject."""
    compact = _compact(records)
    if not compact:
        return decode_json(contract, records, max_bytes)
    chosen = set(compact)
    others = [place for place in range(len(records)) if place not in chosen]
    parts = [
        _at(places, decode(contract, [records[place] for place in places], max_bytes))
        for places, decode in ((compact, decode_compact), (others, decode_json))
        if places
    ]
    frame = pl.concat([part.frame for part in parts])
    return Decoded(frame.sort("i"), pl.concat([part.rejects for part in parts]))


def _compact(records: Sequence[bytes]) -> list[int]:
    if isinstance(records, LaidOut):
        return np.flatnonzero(records.octets[records.starts] == TAG[0]).tolist()
    return [place for place, record in enumerate(records) if record.startswith(TAG)]


def _at(places: Sequence[int], decoded: Decoded) -> Decoded:
    """The same, placed in the batch that the records were taken from."""
    where = pl.Series("i", places, dtype=pl.UInt32)
    frame, rejects = (
        rows.with_columns(where.gather(rows["i"])) for rows in (decoded.frame, decoded.rejects)
    )
    return Decoded(frame, rejects)
