"""The watermark of a stream: how far the slowest of its live units has come (analytics.md 6).

Units are taken in the order in which they landed: commit, unit, position. A unit that lands for the
first time in a commit holds the watermark until its first row is counted. The same definition, as
SQL, is dbt/macros/market/lateness.sql.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Before anything was seen: earlier than every event that the contracts take.
NOTHING = -9_000_000_000_000_000_000


@dataclass
class Unit:
    """A unit's newest event, and when its last record arrived; ns since epoch UTC."""

    newest_ns: int
    heard_ns: int


@dataclass(frozen=True)
class Segment:
    """The rows of one unit in one commit, in the order of their positions."""

    version: int
    stream: str
    unit: str
    first: int  # place of its first row, and of the row after its last
    end: int
    first_arrival_ns: int
    last_arrival_ns: int


@dataclass
class Stream:
    """Units that one watermark is kept over, and how far they have come."""

    idle_ns: int
    watermark_ns: int = NOTHING
    units: dict[str, Unit] = field(default_factory=dict)

    def judge(self, segment: Segment, events: Ints, landing: Collection[str]) -> tuple[Ints, Ints]:
        """Count a segment in; `landing` are the units of its stream that its commit lands.

        Returns per row, before it counts itself: the watermark, no lateness taken off, and the
        newest event of its own unit (NOTHING where there was none).
        """
        known = self.units.get(segment.unit)
        own = known.newest_ns if known else NOTHING
        others = self._others(segment, landing)
        newest = np.maximum.accumulate(np.concatenate(([own], events)))
        before = newest[:-1].copy()
        reached = before.copy()
        if others is not None:
            np.minimum(reached, others, out=reached)
        np.maximum(reached, self.watermark_ns, out=reached)
        top = int(newest[-1])
        heard = max(segment.last_arrival_ns, known.heard_ns) if known else segment.last_arrival_ns
        self.units[segment.unit] = Unit(top, heard)
        self.watermark_ns = max(self.watermark_ns, top if others is None else min(top, others))
        return reached, before

    def _others(self, segment: Segment, landing: Collection[str]) -> int | None:
        """The least of the other units that are not idle; None if there is none."""
        held = [
            unit.newest_ns
            for name, unit in self.units.items()
            if name != segment.unit and segment.first_arrival_ns - unit.heard_ns <= self.idle_ns
        ]
        if any(name != segment.unit and name not in self.units for name in landing):
            held.append(NOTHING)
        return min(held, default=None)
