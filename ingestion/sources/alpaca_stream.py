"""Landing Alpaca's stream: micro-batches of what was heard, and the gaps between connections.

A connection is a unit, its messages of one kind numbered from 0. Its rows and the time up to which
it was heard are one commit, so after a crash at any moment what is missing is known.
"""

import queue
import time
from collections.abc import Sequence
from threading import Event

from contracts import registry
from ingestion.land import Landing, Progress, land_batch
from ingestion.sources.alpaca_gaps import MS, GapFiller, gaps_left, heard_unit, open_gap
from ingestion.sources.alpaca_history import Chosen
from ingestion.sources.alpaca_live import Connected, Heard, Item, Live
from ingestion.sources.alpaca_wire import wire_of
from ingestion.sources.vendor import Rows, batch_of
from lake.bronze import BronzeWriter, Span
from lake.durable import fault_point
from lake.layout import layout
from lake.settings import Settings

WAIT_S = 0.1


class _Track:
    """One kind of records: its table, and where it is in the connection."""

    def __init__(self, chosen: Chosen, settings: Settings) -> None:
        self.chosen = chosen
        self.settings = settings
        self.contract = registry.get(chosen.kind)
        self.writer = BronzeWriter(self.contract, layout(settings))
        self.landing = Landing(self.contract.dataset)
        self.unit = ""
        self.following = 0

    @property
    def heard_ms(self) -> int:
        """Up to when the table has all that came; 0 before the first connection."""
        return self.writer.next_position(heard_unit(self.chosen))

    def land(self, heard: Sequence[Heard], until_ns: int, progress: Progress | None) -> None:
        """Commit messages of the connection, and that the stream was heard until then."""
        raw = [message.record for message in heard]
        wire = [wire_of(self.chosen.market, self.chosen.kind, record) for record in raw]
        rows = Rows(self.unit, self.following, raw, wire, [message.at_ns for message in heard])
        before = self.heard_ms
        mark = Span(heard_unit(self.chosen), before, max(before, until_ns // MS), 0)
        source = self.chosen.market.source
        batch = batch_of(self.contract, self.settings, source, [rows] if raw else [], mark)
        fault_point("alpaca.consumed")
        commit = land_batch(self.writer, batch)
        self.following += len(raw)
        self.landing.add(commit)
        if progress:
            progress(commit)


class AlpacaStream:
    """Lands a stream until it is stopped, or Alpaca refuses it for good."""

    def __init__(
        self,
        settings: Settings,
        chosen: Sequence[Chosen],
        symbols: Sequence[str],
        progress: Progress | None = None,
    ) -> None:
        """`chosen` are kinds of one market, each once. Raises VendorRefused without keys."""
        self.settings = settings
        self.symbols = symbols
        self._progress = progress
        self._live = Live(chosen[0].market, [c.kind for c in chosen], symbols, settings)
        self._tracks = {one.kind: _Track(one, settings) for one in chosen}
        self._filler = GapFiller(settings, progress)

    def run(self, stopped: Event) -> list[Landing]:
        """Land until `stopped` is set; what was heard by then is landed first.

        Raises VendorRefused where Alpaca refuses for good, after landing what came before.
        """
        at = layout(self.settings)
        for track in self._tracks.values():
            for gap in gaps_left(at, track.chosen, track.writer.next_position):
                self._filler.fetch(gap, settle=False)
        self._live.start()
        try:
            while self._live.is_running or not self._live.inbox.empty():
                if stopped.is_set():
                    self._live.stop()
                self._land(self._gather(stopped))
        finally:
            self._live.stop()
            self._filler.stop()
        if self._live.refused:
            raise self._live.refused
        return self._landings()

    def _gather(self, stopped: Event) -> list[Item]:
        """What comes within batch_seconds of the first message, up to batch_rows."""
        items: list[Item] = []
        due = float("inf")
        while len(items) < self.settings.batch_rows and time.monotonic() < due:
            try:
                items.append(self._live.inbox.get(timeout=WAIT_S))
            except queue.Empty:
                if stopped.is_set() or not self._live.is_running:
                    break
            if items and due == float("inf"):
                due = time.monotonic() + self.settings.batch_seconds
        return items

    def _land(self, items: list[Item]) -> None:
        heard: list[Heard] = []
        for item in items:
            if isinstance(item, Heard):
                heard.append(item)
                continue
            self._land_heard(heard)
            heard = []
            self._begin(item)
        self._land_heard(heard)

    def _land_heard(self, heard: list[Heard]) -> None:
        for kind, track in self._tracks.items():
            own = [message for message in heard if message.kind == kind]
            if own:
                # Not when we received it: a message may have waited long behind others.
                until = max(min(message.sent_ns, message.at_ns) for message in own)
                track.land(own, until, self._progress)

    def _begin(self, connected: Connected) -> None:
        """Write down what the connection before it missed, then number from 0 again."""
        for track in self._tracks.values():
            track.unit = f"{track.chosen.prefix}/live/{connected.name}"
            track.following = 0
            if not track.heard_ms:
                track.land([], connected.at_ns, None)
                continue
            now = connected.at_ns
            gap = open_gap(self.settings, track.chosen, self.symbols, track.heard_ms, now)
            fault_point("alpaca.gap_written")
            if gap:
                self._filler.fetch(gap)

    def _landings(self) -> list[Landing]:
        landings = []
        for track in self._tracks.values():
            if fetched := self._filler.landings.get(track.contract.dataset):
                track.landing.merge(fetched)
            landings.append(track.landing)
        return landings
