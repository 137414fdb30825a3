"""Mids of several venues on one grid of seconds, from published best quotes per venue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

SECOND = 1_000_000_000
# An invalid second carries the last valid mid this long (analytics.md 15).
CARRY_NS = 5 * SECOND

STATES = """
select b.valid_from_ns, b.valid_to_ns, (b.best_bid + b.best_offer)::double as twice_mid
from gold.venue_best_quotes as b
where b.instrument_id = ? and b.session_date = ? and b.venue = ?
    and b.session_type = 'regular' and b.is_valid and b.best_bid + b.best_offer > 0
order by b.valid_from_ns
"""

SESSIONS = """
select
    b.instrument_id, b.session_date, list(distinct b.venue order by b.venue),
    min(s.regular_open_ns), min(s.regular_close_ns)
from gold.venue_best_quotes as b
join silver.sessions as s on s.calendar = b.calendar and s.session_date = b.session_date
where b.session_type = 'regular' and b.is_valid
    and (? is null or b.instrument_id = ?)
    and (? is null or b.session_date = ?)
group by all
having count(distinct b.venue) > 1
order by all
"""


@dataclass(frozen=True)
class Session:
    """A regular session of an instrument of two venues or more; bounds in ns since epoch."""

    instrument_id: str
    session_date: date
    venues: tuple[str, ...]
    open_ns: int
    close_ns: int


def sessions(
    conn: DuckDBPyConnection, instrument_id: str | None = None, day: date | None = None
) -> list[Session]:
    """The sessions that two venues or more quote, of all instruments and days or those named."""
    rows = conn.execute(SESSIONS, [instrument_id, instrument_id, day, day]).fetchall()
    return [Session(name, on, tuple(venues), *bounds) for name, on, venues, *bounds in rows]


def log_mids(conn: DuckDBPyConnection, session: Session) -> NDArray[np.float64]:
    """Log mid of each venue (columns) at each second from the open (rows); NaN where a venue has
    had no valid mid for more than 5 s."""
    grid = np.arange(session.open_ns, session.close_ns, SECOND, dtype=np.int64)
    key: Sequence[Any] = (session.instrument_id, session.session_date)
    columns = [
        _at(grid, conn.execute(STATES, [*key, venue]).fetchnumpy()) for venue in session.venues
    ]
    return np.column_stack(columns)


def _at(grid: NDArray[np.int64], states: dict[str, Any]) -> NDArray[np.float64]:
    """The log mid in force at each moment of the grid."""
    place = np.searchsorted(states["valid_from_ns"], grid, side="right") - 1
    known = np.full(len(grid), np.nan)
    begun = place >= 0
    since_end = grid[begun] - states["valid_to_ns"][place[begun]]
    mids = np.log(states["twice_mid"][place[begun]] / 2)
    known[begun] = np.where(since_end <= CARRY_NS, mids, np.nan)
    return known
