"""One dataset's clients as a source: what they sent becomes batches, and batches acknowledgements.

The event loop offers frames and asks for positions; the thread that lands takes both, in order.
A unit is a client's records of the dataset, a position the number that the client gave a record.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import polars as pl

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.listen.protocol import Frame
from ingestion.sources.base import Positions
from ingestion.wire import decode_wire
from lake.bronze import BronzeWriter, Commit, Span
from lake.settings import Settings

SOURCE = "ws"  # of a commit; its rows say which client


def unit_of(client: str, dataset: str) -> str:
    """Name of what a client's record numbers count in."""
    return f"{SOURCE}:{client}/{dataset}"


class Sender(Protocol):
    """Who sends one unit, as the source sees it. Called in the event loop, never in the thread."""

    @property
    def unit(self) -> str:
        """What his positions count in."""

    def begin(self, position: int) -> None:
        """The table stands at `position`."""

    def landed(self, following: int, refused: Mapping[str, list[int]]) -> None:
        """All records before `following` are durable, `refused` of them in quarantine, by code."""

    def failed(self, why: str) -> None:
        """What was not acknowledged has not landed, as far as anybody knows."""


class ClientWriter(BronzeWriter):
    """The bronze writer of records that clients sent.

    Ids are a client's own, so two clients are two feeds although they share a commit: each row's
    source is its client. The rows that went to quarantine are kept, for the acknowledgements.
    """

    rejected: pl.DataFrame

    def commit(
        self,
        good: pl.DataFrame,
        rejected: pl.DataFrame,
        spans: Sequence[Span],
        source: str,
        fence: Mapping[str, int] | None = None,
    ) -> Commit:
        """Land one batch, as BronzeWriter.commit does."""
        self.rejected = rejected.select("unit", "position", "reject_code")
        client = pl.col("unit").str.extract("^([^/]+)/").alias("source")
        return super().commit(
            good.with_columns(client), rejected.with_columns(client), spans, source, fence
        )


@dataclass(frozen=True, slots=True)
class Offered:
    """A frame that was accepted, from whom, and since when it waits (monotonic seconds)."""

    sender: Sender
    frame: Frame
    since: float

    @property
    def weight(self) -> int:
        """Bytes that it takes up while it waits."""
        return weight_of(self.frame)


def weight_of(frame: Frame) -> int:
    """Bytes that a frame takes up, with what Python adds to it."""
    return len(frame.body) + 512


class WebSocketSource:
    """The frames of one dataset's clients, many clients to a batch."""

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        tell: Callable[..., Any],
        release: Callable[[int], None],
    ) -> None:
        """`tell(call, *arguments)` calls in the event loop; `release` takes freed bytes there."""
        self.contract = contract
        self.settings = settings
        self.writer: ClientWriter | None = None
        self._tell = tell
        self._release = release
        self._changed = threading.Condition()
        self._waiting: deque[Offered | Sender] = deque()  # a sender alone asks where he stands
        self._holder: dict[str, Sender] = {}
        self._taken: list[Offered] = []
        self._stopped = False

    # --- what the event loop calls ---

    def ask(self, sender: Sender) -> bool:
        """Make him the one who sends his unit, and tell him where it stands once all that his
        predecessor sent is decided. False where nothing is taken any more."""
        with self._changed:
            if self._stopped:
                return False
            self._holder[sender.unit] = sender
            self._waiting.append(sender)
            self._changed.notify()
            return True

    def offer(self, sender: Sender, frame: Frame) -> bool:
        """Take a frame; False where another sends the unit by now, or nothing is taken."""
        with self._changed:
            if self._stopped or self._holder.get(sender.unit) is not sender:
                return False
            self._waiting.append(Offered(sender, frame, time.monotonic()))
            self._changed.notify()
            return True

    def leave(self, sender: Sender) -> None:
        """He sends no more; what he sent lands all the same."""
        with self._changed:
            if self._holder.get(sender.unit) is sender:
                del self._holder[sender.unit]

    def stop(self) -> None:
        """Take nothing more; what waits makes the last batches."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    # --- what the landing thread calls ---

    def batches(self, positions: Positions) -> Iterator[Batch]:
        """Batches of at most batch_rows records or batch_seconds, until stopped."""
        while True:
            self._taken = self._take(positions)
            if not self._taken:
                return
            yield self._batch(self._taken)

    def acknowledge(self, batch: Batch) -> None:
        """Tell every sender how far he is durable, and what of it is in quarantine."""
        assert self.writer is not None
        refused: dict[str, dict[str, list[int]]] = {}
        for unit, position, code in self.writer.rejected.sort("unit", "position").iter_rows():
            refused.setdefault(unit, {}).setdefault(code, []).append(position)
        senders = {offered.sender.unit: offered.sender for offered in self._taken}
        told = [(senders[span.unit], span.next, refused.get(span.unit, {})) for span in batch.spans]
        freed = sum(offered.weight for offered in self._taken)
        self._taken = []
        self._tell(self._acknowledged, told, freed)

    def close(self) -> None:
        """Nothing is held between batches."""

    def fail(self, why: str) -> None:
        """Let go of all that waits and of who sent it: nobody knows where his unit stands."""
        with self._changed:
            dropped = [item for item in self._waiting if isinstance(item, Offered)]
            asked = [item for item in self._waiting if not isinstance(item, Offered)]
            dropped += self._taken
            senders = {id(s): s for s in [*self._holder.values(), *asked]}
            senders |= {id(item.sender): item.sender for item in dropped}
            self._waiting.clear()
            self._holder.clear()
            self._taken = []
        self._tell(self._failed, list(senders.values()), why, sum(x.weight for x in dropped))

    def wait(self) -> bool:
        """Wait until somebody asks again; False when it is stopped instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            return bool(self._waiting)

    # --- in the event loop ---

    def _acknowledged(
        self, told: list[tuple[Sender, int, Mapping[str, list[int]]]], freed: int
    ) -> None:
        self._release(freed)
        for sender, following, refused in told:
            sender.landed(following, refused)

    def _failed(self, senders: list[Sender], why: str, freed: int) -> None:
        self._release(freed)
        for sender in senders:
            sender.failed(why)

    # --- in the landing thread ---

    def _take(self, positions: Positions) -> list[Offered]:
        """The frames of the next batch; nothing when it is stopped and nothing waits."""
        taken: list[Offered] = []
        rows = size = 0
        full_at = self.settings.listen_buffer_bytes // 2  # senders wait already, or soon will
        with self._changed:
            while True:
                while self._waiting:
                    item = self._waiting[0]
                    if not isinstance(item, Offered):
                        if any(offered.sender.unit == item.unit for offered in taken):
                            return taken  # decided first: he is to hear where they leave him
                        self._tell(item.begin, positions(item.unit))
                    elif taken and rows + item.frame.size > self.settings.batch_rows:
                        return taken
                    else:
                        taken.append(item)
                        rows += item.frame.size
                        size += item.weight
                    self._waiting.popleft()
                if self._stopped or rows >= self.settings.batch_rows or size >= full_at:
                    return taken
                left = None
                if taken:
                    left = taken[0].since + self.settings.batch_seconds - time.monotonic()
                    if left <= 0:
                        return taken
                self._changed.wait(left)

    def _batch(self, taken: Sequence[Offered]) -> Batch:
        records = [record for offered in taken for record in offered.frame.records()]
        spans: dict[str, Span] = {}
        for offered in taken:
            unit, frame = offered.sender.unit, offered.frame
            before = spans.get(unit)
            first = before.first if before else frame.first
            spans[unit] = Span(unit, first, frame.next, frame.next - first)
        return Batch(
            contract=self.contract,
            source=SOURCE,
            provenance=_provenance(taken),
            spans=list(spans.values()),
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_wire, self.contract, records, self.settings.max_record_bytes),
        )


def _provenance(taken: Sequence[Offered]) -> pl.DataFrame:
    """A row per record. Equal records of a client are events of their own: no delivery unit."""
    frames = [offered.frame for offered in taken]
    sizes = np.array([frame.size for frame in frames])
    which = np.repeat(np.arange(len(frames)), sizes)
    inside = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.array([frame.first for frame in frames], dtype=np.int64)
    received = np.array([frame.received_ns for frame in frames], dtype=np.int64)
    units = pl.Series("unit", [offered.sender.unit for offered in taken], dtype=pl.String)
    return pl.DataFrame({"recv_ts_ns": received[which]}).with_columns(
        units.gather(which),
        pl.Series("position", first[which] + inside),
        pl.lit(None, pl.String).alias("delivery_unit"),
    )
