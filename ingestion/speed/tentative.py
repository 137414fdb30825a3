"""Rows on their way to bronze, as candles on top of the settled ones: decoded, checked, not landed.

They are decoded a second time when their batch lands, and that decides. What is here is dropped
when its commit is settled, so that an error of this stage is gone within a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from contracts.base import Contract
from ingestion.sources.kafka_records import Pending, Poll
from ingestion.speed import windows
from ingestion.speed.eligible import with_eligibility
from ingestion.speed.engine import lateness, stream_of
from ingestion.speed.landed import HEARD, normalised
from ingestion.speed.rules import rules
from ingestion.speed.settled import Settled
from ingestion.speed.watermark import NOTHING
from ingestion.wire import decode_wire

_TRADE = b'"T"'  # stands in every JSON message of type T; what escapes it is seen when it lands

Windows = dict[str, pl.DataFrame]  # by width


@dataclass(frozen=True)
class Heard:
    """The records of one poll of a topic; `units` names the unit of each partition number."""

    topic: str
    poll: Poll
    units: Mapping[int, str]


@dataclass(frozen=True)
class Piece:
    """Rows that were taken in together, and their windows."""

    rows: pl.DataFrame
    windows: Windows


@dataclass
class Tentative:
    """What of a dataset was heard and is not settled.

    `pieces` is replaced, never changed: another thread may go on with the ones it took.
    """

    contract: Contract
    max_record_bytes: int
    pieces: tuple[Piece, ...] = ()
    _next: dict[str, int] = field(default_factory=dict)  # first position not taken in, by unit

    def add(self, heard: Sequence[Heard], settled: Settled) -> pl.Series:
        """Take in what was heard and is not settled.

        Returns when each row that counts was received, ns since epoch UTC.
        """
        rows = _sound(self.contract, heard, self.max_record_bytes)
        for unit in rows["unit"].unique():
            self._next[unit] = max(self._next.get(unit, 0), settled.positions.get(unit, 0))
        first = pl.col("unit").replace_strict(self._next, default=0, return_dtype=pl.Int64)
        rows = rows.filter(pl.col("position") >= first) if self._next else rows
        if rows.is_empty():
            return rows["recv_ts_ns"]
        self.pieces = (*self.pieces, Piece(rows, _windows(rows, settled)))
        for unit, last in rows.group_by("unit").agg(pl.col("position").max()).iter_rows():
            self._next[unit] = last + 1
        return rows["recv_ts_ns"]

    def settle(self, settled: Settled) -> None:
        """Drop what is settled now."""
        mine = {unit: at for unit, at in settled.positions.items() if unit in self._next}
        if not mine:
            return
        for unit, position in mine.items():
            self._next[unit] = max(self._next[unit], position)
        first = pl.col("unit").replace_strict(mine, default=0, return_dtype=pl.Int64)
        kept = []
        for piece in self.pieces:
            rows = piece.rows.filter(pl.col("position") >= first)
            if rows.height == piece.rows.height:
                kept.append(piece)
            elif rows.height:
                kept.append(Piece(rows, _windows(rows, settled)))
        self.pieces = tuple(kept)

    def forget(self) -> None:
        """Drop everything."""
        self.pieces = ()
        self._next.clear()


def on_top_of(settled: Settled, pieces: Sequence[Piece]) -> Windows:
    """The open windows with what is on its way, by width."""
    return {
        name: windows.merged([opened, *(piece.windows[name] for piece in pieces)])
        for name, opened in settled.windows.items()
    }


def _windows(rows: pl.DataFrame, settled: Settled) -> Windows:
    """Windows of rows; those that are late already, as far as bronze has come, are left out."""
    streams = {unit: stream_of(unit) for unit in rows["unit"].unique()}
    stream = pl.col("unit").replace_strict(streams, return_dtype=pl.String)
    seen = stream.replace_strict(settled.watermarks, default=NOTHING, return_dtype=pl.Int64)
    judged = rows.with_columns(stream=stream, seen_ns=seen)
    judged = windows.ordered(with_eligibility(judged))
    return {w.name: windows.made(judged.filter(~lateness(judged, w)), w) for w in rules().widths}


def _sound(contract: Contract, heard: Sequence[Heard], max_bytes: int) -> pl.DataFrame:
    """The rows of sound records that become trades."""
    return pl.concat(
        _sound_of_topic(contract, topic, [one for one in heard if one.topic == topic], max_bytes)
        for topic in sorted({one.topic for one in heard})
    )


def _sound_of_topic(
    contract: Contract, topic: str, heard: Sequence[Heard], max_bytes: int
) -> pl.DataFrame:
    pending = Pending([one.poll for one in heard])
    units = {number: unit for one in heard for number, unit in one.units.items()}
    records: Sequence[bytes] = pending.records()
    origin = pending.provenance(units)
    if contract.dataset == "orders":
        records, origin = _trades_alone(records, origin)
    if not records:
        return pl.DataFrame(schema=HEARD)
    frame = decode_wire(contract, records, max_bytes).frame
    where = origin[frame["i"]].with_columns(source=pl.lit(topic))
    frame = pl.concat([frame, where], how="horizontal")
    return normalised(contract.dataset, frame.filter(_keeps(contract, frame)))


def _trades_alone(
    records: Sequence[bytes], origin: pl.DataFrame
) -> tuple[list[bytes], pl.DataFrame]:
    """Records that may be of type T: of order messages one in fifty is."""
    places = [
        place for place, record in enumerate(records) if _TRADE in record or record[:1] != b"{"
    ]
    return [records[place] for place in places], origin[places]


def _keeps(contract: Contract, frame: pl.DataFrame) -> pl.Series:
    """Does each row keep the contract? The rules of `ingestion.check`, without the reasons.

    Finding reasons costs 10 ms however few rows there are, too much for every 40 ms.
    """
    from pandera.api.polars.types import PolarsData

    data: Any = PolarsData(frame.lazy().select(*contract.schema.columns))
    broken = [check._check_fn(data) for check in contract.schema.checks]
    kept = [rule.to_series() for rule in pl.collect_all(broken)]
    kept += [frame[c.name].is_not_null() for c in contract.columns if c.never_null]
    return reduce(and_, kept)
