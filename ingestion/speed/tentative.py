"""Rows on their way to bronze, as candles on top of the settled ones: decoded, checked, not landed.

They are decoded a second time when their batch lands, and that decides. What is here is dropped
when its commit is settled, so that an error of this stage is gone within a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.base import Contract, keeps
from ingestion.sources.kafka_records import Pending, Poll
from ingestion.speed import windows
from ingestion.speed.eligible import with_eligibility
from ingestion.speed.engine import is_late, stream_of
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
    """Rows of a topic that were taken in together, as `windows.ordered` gives them.

    `windows` are theirs of the narrowest width (schema windows.PARTS), `spans` the first and last
    position that was heard of each unit.
    """

    rows: pl.DataFrame
    windows: pl.DataFrame
    spans: Mapping[str, tuple[int, int]]


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
        received = [
            self._add(topic, [one for one in heard if one.topic == topic], settled)
            for topic in sorted({one.topic for one in heard})
        ]
        return pl.concat(received)

    def _add(self, topic: str, heard: Sequence[Heard], settled: Settled) -> pl.Series:
        pending = Pending([one.poll for one in heard])
        units = {number: unit for one in heard for number, unit in one.units.items()}
        spans = {units[read.number]: (read.first, read.last) for read in pending.read()}
        first = {
            unit: max(self._next.get(unit, 0), settled.positions.get(unit, 0)) for unit in spans
        }
        rows = _sound(self.contract, topic, pending, units, self.max_record_bytes)
        if any(first[unit] > begins for unit, (begins, _) in spans.items()):
            rows = _from(rows, first)
        if rows.height:
            # The partitions of a topic are one stream.
            stream = pl.lit(stream_of(next(iter(spans))))
            rows = windows.ordered(with_eligibility(rows.with_columns(stream=stream)))
            self.pieces = (*self.pieces, _piece(rows, spans, settled))
        self._next |= {unit: max(first[unit], last + 1) for unit, (_, last) in spans.items()}
        return rows["recv_ts_ns"]

    def settle(self, settled: Settled) -> None:
        """Drop what is settled now."""
        at = {unit: settled.positions.get(unit, 0) for unit in self._next}
        self._next = {unit: max(place, at[unit]) for unit, place in self._next.items()}
        kept = []
        for piece in self.pieces:
            if all(first >= at[unit] for unit, (first, _) in piece.spans.items()):
                kept.append(piece)
            elif any(last >= at[unit] for unit, (_, last) in piece.spans.items()):
                rows = _from(piece.rows, {unit: at[unit] for unit in piece.spans})
                kept.append(_piece(rows, piece.spans, settled))
        self.pieces = tuple(kept)

    def forget(self) -> None:
        """Drop everything."""
        self.pieces = ()
        self._next.clear()


def on_top_of(settled: Settled, pieces: Sequence[Piece]) -> Windows:
    """The open windows with what is on its way, by width."""
    if not pieces:
        return dict(settled.windows)
    parts = windows.combined(pl.concat(piece.windows for piece in pieces))
    found = {}
    for place, width in enumerate(rules().widths):
        mine = windows.widened(parts.filter(pl.col("late") & 1 << place == 0), width)
        found[width.name] = windows.combined(pl.concat([settled.windows[width.name], mine]))
    return found


def _piece(rows: pl.DataFrame, spans: Mapping[str, tuple[int, int]], settled: Settled) -> Piece:
    """A piece of ordered rows of one stream, late as far as bronze has come."""
    seen = pl.lit(NOTHING)
    if rows.height:
        seen = pl.lit(settled.watermarks.get(rows["stream"][0], NOTHING))
    late = (is_late(width, seen) * (1 << place) for place, width in enumerate(rules().widths))
    judged = rows.with_columns(late=pl.sum_horizontal(late).cast(pl.Int64))
    return Piece(rows, windows.parts(judged, rules().widths[0]), spans)


def _from(rows: pl.DataFrame, first: Mapping[str, int]) -> pl.DataFrame:
    """The rows from a position on, by unit."""
    begins = pl.col("unit").replace_strict(first, return_dtype=pl.Int64)
    return rows.filter(pl.col("position") >= begins)


def _sound(
    contract: Contract, topic: str, pending: Pending, units: Mapping[int, str], max_bytes: int
) -> pl.DataFrame:
    """The rows of sound records that become trades."""
    records: Sequence[bytes] = pending.records()
    origin = pending.provenance(units)
    if contract.dataset == "orders":
        records, origin = _trades_alone(records, origin)
    if not records:
        return pl.DataFrame(schema=HEARD)
    frame = decode_wire(contract, records, max_bytes).frame
    where = origin[frame["i"]].with_columns(source=pl.lit(topic))
    frame = pl.concat([frame, where], how="horizontal")
    return normalised(contract.dataset, frame.filter(keeps(contract)))


def _trades_alone(
    records: Sequence[bytes], origin: pl.DataFrame
) -> tuple[list[bytes], pl.DataFrame]:
    """Records that may be of type T: of order messages one in fifty is."""
    places = [
        place for place, record in enumerate(records) if _TRADE in record or record[:1] != b"{"
    ]
    return [records[place] for place in places], origin[places]
