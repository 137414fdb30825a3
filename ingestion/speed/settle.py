"""Settled candles kept up with bronze, and stored: from where the last process stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import polars as pl
import structlog

from ingestion.speed.engine import FINISHED, State
from ingestion.speed.landed import DATASETS, landed_since
from ingestion.speed.replay import replayed
from ingestion.speed.settled import Settled
from ingestion.speed.store import Store
from lake import delta
from lake.layout import Layout, layout
from lake.locks import held
from lake.settings import Settings

log = structlog.get_logger()

MOST_PENDING = 300_000  # finished windows are stored before there are more


class Settler:
    """The settled candles of one dataset; one process at a time has them (`settling`)."""

    def __init__(self, place: Layout, dataset: str) -> None:
        self.place = place
        self.dataset = dataset
        self.positions: dict[str, int] = {}  # first position not settled, of units heard of
        self._pending: list[pl.DataFrame] = []
        self._since = -1
        self._begin()

    @classmethod
    @contextmanager
    def settling(cls, place: Layout, dataset: str, wait_s: float = 0.0) -> Iterator[Self]:
        """A settler that no other process of this machine stands beside; raises locks.Busy."""
        with held(place.lock(f"speed.{dataset}"), wait_s):
            yield cls(place, dataset)

    def begin_anew(self) -> None:
        """Forget what is stored, and start from the first commit."""
        self.store.clear()
        self._begin()

    def advance(self) -> int:
        """Take in what has landed; returns the number of rows."""
        rows = 0
        for landed in landed_since(self.place, self.dataset, self.state.version + 1):
            finished = self.state.advance(landed)
            self.positions.update(landed.positions)
            rows += landed.rows.height
            if finished.height:
                self._pending.append(finished)
            if sum(part.height for part in self._pending) > MOST_PENDING:
                self.flush()
        return rows

    def settled(self) -> Settled:
        """What is settled now, for other threads."""
        return Settled.of(self.state, self.positions)

    def flush(self, *, end: bool = False) -> int:
        """Store what has finished; returns the number of candles.

        At the `end` of input those that are not finished follow, with is_final false. Raises
        store.Superseded if another process has stored meanwhile.
        """
        parts = [pl.DataFrame(schema=FINISHED), *self._pending]
        if end and self.state.ended < self.state.version:
            self.state.ended = self.state.version
            parts.append(self.state.unfinished())
        finished = pl.concat(parts)
        if finished.height or self.state.version > self._since:
            self._sync_landed()
            self.store.append(self.state, finished, self._since)
            self._since = self.state.version
        self._pending.clear()
        return finished.height

    def _sync_landed(self) -> None:
        """What is stored must not outlive, in a power cut, the commits that it is made of."""
        last = self.state.version
        first = max(self._since + 1, last - delta.MAX_UNSYNCED)
        delta.sync_log(self.place.bronze(self.dataset), first, last)

    def _begin(self) -> None:
        self.store = Store(self.place, self.dataset)
        self.state = self._recovered()
        self._since = self.store.version()
        self._pending.clear()

    def _recovered(self) -> State:
        state = self.store.picture()
        if state is None:
            version = self.store.version()
            log.warning("speed layer: no picture of its state", dataset=self.dataset, upto=version)
            state, _ = replayed(self.place, self.dataset, version)
        if state.version >= 0:
            self.store.tell(state)
        return state


def store_landed(
    settings: Settings, *, anew: bool = False, wait_s: float = 60.0
) -> dict[str, tuple[int, int]]:
    """Make and store the speed candles of what has landed and no resident process followed.

    `anew` forgets what is stored and starts from the first commit. Returns, by dataset, the rows
    taken in and the candles stored. Raises locks.Busy while a resident process makes them.
    """
    done = {}
    for dataset in DATASETS:
        with Settler.settling(layout(settings), dataset, wait_s) as settler:
            if anew:
                settler.begin_anew()
            done[dataset] = (settler.advance(), settler.flush(end=True))
    return done
