"""The speed layer of a resident process: a thread beside landing, which lands whatever it does."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Self

import polars as pl
import structlog

from contracts.base import Contract
from ingestion.sources.kafka import Hear
from ingestion.sources.kafka_records import Poll
from ingestion.speed import active
from ingestion.speed.landed import DATASETS
from ingestion.speed.settle import Settler
from ingestion.speed.tentative import Heard, Tentative
from ingestion.speed.watermark import NOTHING
from lake import delta_log
from lake.layout import Layout, layout
from lake.locks import Busy
from lake.settings import Settings

log = structlog.get_logger()

TICK_SECONDS = 0.04
# More than this at once is a backlog: it settles within a second, decoding it twice would slow it.
MOST_HEARD = 25_000
BUSY_SECONDS = 2.0  # until a process looks again whether another still makes the candles
LONGEST_PAUSE_SECONDS = 60.0
STOP_SECONDS = 30.0

# Dataset, and when the rows that are in its candles now were received (ns since epoch UTC).
Taken = Callable[[str, pl.Series], None]


class SpeedLayer:
    """Makes candles of what a resident process lands: `with SpeedLayer(settings, contracts)`.

    Whatever fails in it is logged, and it begins again from bronze.
    """

    def __init__(
        self, settings: Settings, contracts: Iterable[Contract], taken: Taken | None = None
    ) -> None:
        is_on = settings.speed == "on"
        self._lanes = {
            contract.dataset: _Lane(settings, contract, taken)
            for contract in contracts
            if is_on and contract.dataset in DATASETS
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speed", daemon=True)

    def __enter__(self) -> Self:
        if self._lanes:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Settle what has landed and store it; a thread that hangs is left behind."""
        self._stop.set()
        if self._lanes:
            self._thread.join(STOP_SECONDS)

    def hear(self, dataset: str) -> Hear | None:
        """What a source of the dataset tells of its polls; None where nobody listens."""
        lane = self._lanes.get(dataset)
        return lane.hear if lane else None

    def watermarks(self, dataset: str) -> Callable[[], Mapping[str, int]] | None:
        """How far the dataset's streams have come; None where nobody knows."""
        lane = self._lanes.get(dataset)
        return (lambda: lane.watermarks) if lane else None

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            for lane in self._lanes.values():
                lane.turn(lane.tick)
        for lane in self._lanes.values():
            lane.turn(lane.end)


class _Lane:
    """One dataset: what was heard and not landed, on top of what has landed."""

    def __init__(self, settings: Settings, contract: Contract, taken: Taken | None) -> None:
        self.watermarks: Mapping[str, int] = {}  # replaced whole, read by the landing thread
        self._settings = settings
        self._place: Layout = layout(settings)
        self._dataset = contract.dataset
        self._bronze = self._place.bronze(contract.dataset)
        self._tentative = Tentative(contract, settings.max_record_bytes)
        self._taken = taken or (lambda *_: None)
        self._heard: deque[Heard] = deque()
        self._waiting = 0  # records in it
        self._guard = threading.Lock()
        self._held = ExitStack()
        self._settler: Settler | None = None
        self._failures = 0
        self._not_before = self._flushed_at = self._shown_at = 0.0
        self._is_news = False

    def hear(self, topic: str, poll: Poll, units: Mapping[int, str]) -> None:
        """Take note of what was polled; by the polling thread: it does nothing else."""
        with self._guard:
            if self._waiting + len(poll) > MOST_HEARD:
                self._heard.clear()
                self._waiting = 0
            self._heard.append(Heard(topic, poll, units))
            self._waiting += len(poll)

    def turn(self, step: Callable[[], None]) -> None:
        """Do a step; whatever it raises stops this lane alone, for a while."""
        if time.monotonic() < self._not_before:
            return
        try:
            step()
        except Busy:
            self._give_up(BUSY_SECONDS)
        except KeyboardInterrupt:  # meant for the main thread; polars raises it where it computes
            self._give_up(0)
        except Exception as error:
            self._failures += 1
            pause_s = min(LONGEST_PAUSE_SECONDS, 2.0**self._failures)
            log.exception(
                "speed layer: beginning again from bronze",
                dataset=self._dataset,
                why=str(error),
                pause_s=pause_s,
            )
            self._give_up(pause_s)

    def tick(self) -> None:
        """Take in what was heard, settle what has landed, store and show what is due."""
        settler = self._settler or self._begin()
        heard = self._take_heard()
        if heard:
            received = self._tentative.add(heard, settler.state, settler.positions)
            self._is_news = self._is_news or len(received) > 0
            self._taken(self._dataset, received)
        if delta_log.entry(self._bronze, settler.state.version + 1).exists():
            self._settle(settler)
        now = time.monotonic()
        if now - self._flushed_at >= self._settings.speed_flush_s:
            self._flushed_at = now
            settler.flush()
            self._failures = 0
        if self._is_news and now - self._shown_at >= self._settings.speed_show_s:
            self._shown_at, self._is_news = now, False
            active.show(self._place, settler.state, self._tentative.on_top_of(settler.state))

    def end(self) -> None:
        """Landing has stopped: store what is settled, and what is open as not final."""
        settler = self._settler or self._begin()
        self._settle(settler)
        settler.flush(end=True)
        self._give_up(0)

    def _begin(self) -> Settler:
        settler = self._held.enter_context(Settler.settling(self._place, self._dataset))
        self._settle(settler)
        self._flushed_at = time.monotonic()
        self._settler = settler
        return settler

    def _settle(self, settler: Settler) -> None:
        settler.advance()
        self._tentative.settle(settler.positions, settler.state)
        self.watermarks = {
            name: stream.watermark_ns
            for name, stream in settler.state.streams.items()
            if stream.watermark_ns > NOTHING
        }
        self._is_news = True

    def _take_heard(self) -> list[Heard]:
        with self._guard:
            heard = list(self._heard)
            self._heard.clear()
            self._waiting = 0
        return heard

    def _give_up(self, pause_s: float) -> None:
        if self._settler:
            active.hide(self._place, self._dataset)
        self._settler = None
        self._held.close()
        self._tentative.forget()
        self._take_heard()
        self._not_before = time.monotonic() + pause_s
