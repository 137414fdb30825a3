"""What a stream missed: written down durably when it connects, then fetched from history.

A stream has no replay. The table holds up to when it was heard (a mark that moves with its rows);
on connecting, the time from there until now is a gap, and its receipt is written before any row of
the new connection lands. A gap is a unit of history like a day, so it lands once, and one that was
not fetched before the process died is found by its receipt at the next start.
"""

import json
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from contracts import registry
from ingestion.land import Landing, Progress, land
from ingestion.sources.alpaca_history import AlpacaHistory, Chosen, HistoryChanged, Window
from ingestion.sources.alpaca_wire import iso
from ingestion.sources.base import Positions
from lake.bronze import BronzeWriter
from lake.layout import Layout, layout
from lake.receipts import receive
from lake.settings import Settings

log = structlog.get_logger()

MS = 10**6
MINUTE_NS = 60 * 10**9
BEFORE_NS = 5 * 10**9  # Alpaca's clock, and records that are not in the order of their times
AFTER_NS = 4 * 10**9  # two clocks; less than a record may be ahead of its receipt
SETTLE_S = 6.0  # history has a record some time after the stream had it
EDITIONS = 9
LEAVE_S = 10.0


@dataclass(frozen=True)
class Gap:
    """A window of one kind that the stream did not hear."""

    chosen: Chosen
    window: Window


def heard_unit(chosen: Chosen) -> str:
    """The mark whose position is when the stream was last heard, in ms since epoch."""
    return f"{chosen.prefix}/live/heard"


def open_gap(
    settings: Settings, chosen: Chosen, symbols: Sequence[str], heard_ms: int, now_ns: int
) -> Gap | None:
    """The gap from when the stream was last heard until `now_ns`, written down.

    None where nothing can be in it. What lies further back than alpaca_catch_up_h is not fetched,
    and the log says so.
    """
    first, last = heard_ms * MS - BEFORE_NS, now_ns + AFTER_NS
    if chosen.kind == "bars":  # a bar comes when its minute is over, and is named by its start
        first, last = first - MINUTE_NS, now_ns - MINUTE_NS
    reach = now_ns - int(settings.alpaca_catch_up_h * 3600 * 10**9)
    if first < reach:
        log.warning(
            "alpaca stream: not fetched",
            what=chosen.prefix,
            start=iso(first),
            end=iso(reach),
            remedy="ticklake alpaca history with these days, or raise TICKLAKE_ALPACA_CATCH_UP",
        )
        first = reach
    if first > last:
        return None
    unit = f"{chosen.prefix}/live/gap-{first}-{last}"
    receive(layout(settings), unit, ",".join(symbols), 0)
    return Gap(chosen, Window(unit, tuple(symbols), first, last))


def gaps_left(at: Layout, chosen: Chosen, positions: Positions) -> list[Gap]:
    """Gaps that were written down and have not landed whole, the oldest first."""
    start = f"{chosen.prefix}/live/gap-"
    windows = []
    for path in at.receipts.glob(f"{start.replace(':', '.').replace('/', '.')}*.json"):
        receipt = json.loads(path.read_bytes())
        first, _, last = receipt["unit"].removeprefix(start).partition("-")
        if "+" in last:  # another edition of one that is in the list
            continue
        symbols = tuple(receipt["name"].split(","))
        windows.append(Window(receipt["unit"], symbols, int(first), int(last)))
    left = [window for window in windows if not positions(window.end_mark.unit)]
    return [Gap(chosen, window) for window in sorted(left, key=lambda window: window.first_ns)]


class GapFiller:
    """Fetches gaps in a thread of its own, so that the stream is not kept waiting."""

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings = settings
        self.landings: dict[str, Landing] = {}
        self.open: list[Gap] = []  # those that could not be fetched
        self._progress = progress
        self._asked: queue.Queue[tuple[Gap, float] | None] = queue.Queue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alpaca gaps", daemon=True)
        self._thread.start()

    def fetch(self, gap: Gap, settle: bool = True) -> None:
        """Fetch a gap, when history may be expected to have it."""
        self._asked.put((gap, time.monotonic() + (SETTLE_S if settle else 0.0)))

    def stop(self) -> None:
        """End after the gap in hand; what is left is found by its receipt next time."""
        self._stopped.set()
        self._asked.put(None)
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            gap, due = asked
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            try:
                self._land(gap)
            except Exception as error:
                self.open.append(gap)
                log.warning(
                    "alpaca stream: a gap stays open and is tried again at the next start",
                    what=gap.chosen.prefix,
                    start=iso(gap.window.first_ns),
                    end=iso(gap.window.last_ns),
                    why=str(error),
                )

    def _land(self, gap: Gap) -> None:
        contract = registry.get(gap.chosen.kind)
        for edition in range(1, EDITIONS + 1):
            suffix = f"+{edition}" if edition > 1 else ""
            window = replace(gap.window, unit=gap.window.unit + suffix)
            source = AlpacaHistory(contract, self.settings, gap.chosen, [window])
            writer = BronzeWriter(contract, layout(self.settings))
            try:
                landing = land(source, writer, self._progress)
            except HistoryChanged:  # since a crash in its midst: land it anew, silver keeps one
                if edition == EDITIONS:
                    raise
                continue
            self.landings.setdefault(contract.dataset, Landing(contract.dataset)).merge(landing)
            return
