"""One dataset of a resident process: follows bronze, stores what has finished, shows what is open.

This has a thread beside that of `hearing.py`, so that a record is in its candle at once however
long a commit takes to settle.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack

from contracts.base import Contract
from ingestion.speed import active
from ingestion.speed.hearing import Candles, Hearing, Taken
from ingestion.speed.settle import Settler
from ingestion.speed.tentative import on_top_of
from lake import delta_log
from lake.layout import Layout, layout
from lake.settings import Settings


class Lane:
    """The candles of one dataset: those that are settled, and with `hearing` what is not."""

    def __init__(self, settings: Settings, contract: Contract, taken: Taken | None) -> None:
        self.hearing = Hearing(contract, settings.max_record_bytes, taken)
        self.watermarks: Mapping[str, int] = {}  # replaced whole, read by the landing thread
        self._settings = settings
        self._place: Layout = layout(settings)
        self._dataset = contract.dataset
        self._bronze = self._place.bronze(contract.dataset)
        self._held = ExitStack()
        self._settler: Settler | None = None
        self._flushed_at = self._shown_at = 0.0
        self._shown: Candles | None = None

    def step(self) -> None:
        """Settle what has landed, store and show what is due."""
        settler = self._settler or self._begin()
        if delta_log.entry(self._bronze, settler.state.version + 1).exists():
            self._settle(settler)
        now = time.monotonic()
        if now - self._flushed_at >= self._settings.speed_flush_s:
            self._flushed_at = now
            settler.flush()
        if now - self._shown_at >= self._settings.speed_show_s:
            self._show(now)

    def end(self) -> None:
        """Landing has stopped: store what is settled, and what is open as not final."""
        settler = self._settler or self._begin()
        self._settle(settler)
        settler.flush(end=True)
        self.give_up()

    def give_up(self) -> None:
        """Have no candles, and leave the dataset to others; `step` begins again from bronze."""
        self.hearing.begin_anew()
        if self._settler:
            active.hide(self._place, self._dataset)
        self._settler = self._shown = None
        self._held.close()

    def _begin(self) -> Settler:
        settler = self._held.enter_context(Settler.settling(self._place, self._dataset))
        self._settle(settler)
        self._flushed_at = time.monotonic()
        self._settler = settler
        return settler

    def _settle(self, settler: Settler) -> None:
        settler.advance()
        settled = settler.settled()
        self.watermarks = settled.watermarks
        self.hearing.settled = settled

    def _show(self, now: float) -> None:
        candles = self.hearing.candles
        if candles is self._shown:
            return
        if candles is None:
            active.hide(self._place, self._dataset)
        else:
            active.show(self._place, candles.settled, on_top_of(*candles))
        self._shown, self._shown_at = candles, now
