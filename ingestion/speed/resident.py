"""The speed layer of a resident process: two threads beside landing, which lands whatever they do.

One takes in what was polled, the other follows bronze: settling a commit takes as long as several
ticks, and must not hold them up.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from contracts.base import Contract
from ingestion.sources.kafka import Hear
from ingestion.speed.guarded import Guarded
from ingestion.speed.hearing import Taken
from ingestion.speed.landed import DATASETS
from ingestion.speed.lane import Lane
from lake.settings import Settings

TICK_SECONDS = 0.03  # from one to the next: more often costs more, a piece 6 ms however small
REST_SECONDS = 0.01  # at least, between ticks that take long
STEP_SECONDS = 0.04
STOP_SECONDS = 30.0


class SpeedLayer:
    """Makes candles of what a resident process lands: `with SpeedLayer(settings, contracts)`.

    Whatever fails in it is logged, and it begins again from bronze.
    """

    def __init__(
        self, settings: Settings, contracts: Iterable[Contract], taken: Taken | None = None
    ) -> None:
        is_on = settings.speed == "on"
        self._lanes = {
            contract.dataset: Lane(settings, contract, taken)
            for contract in contracts
            if is_on and contract.dataset in DATASETS
        }
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._hear, "speed-hear"), (self._settle, "speed-settle"))
        ]

    def __enter__(self) -> Self:
        if self._lanes:
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Settle what has landed and store it; a thread that hangs is left behind."""
        self._stop.set()
        if self._lanes:
            for thread in self._threads:
                thread.join(STOP_SECONDS)

    def hear(self, dataset: str) -> Hear | None:
        """What a source of the dataset tells of its polls; None where nobody listens."""
        lane = self._lanes.get(dataset)
        return lane.hearing.hear if lane else None

    def watermarks(self, dataset: str) -> Callable[[], Mapping[str, int]] | None:
        """How far the dataset's streams have come; None where nobody knows."""
        lane = self._lanes.get(dataset)
        return (lambda: lane.watermarks) if lane else None

    def _hear(self) -> None:
        ticks = [
            (Guarded(dataset, lane.hearing.forget), lane.hearing.tick)
            for dataset, lane in self._lanes.items()
        ]
        took = 0.0
        while not self._stop.wait(max(TICK_SECONDS - took, REST_SECONDS)):
            began = time.monotonic()
            for guarded, tick in ticks:
                guarded.do(tick)
            took = time.monotonic() - began

    def _settle(self) -> None:
        lanes = [(Guarded(name, lane.give_up), lane) for name, lane in self._lanes.items()]
        while not self._stop.wait(STEP_SECONDS):
            for guarded, lane in lanes:
                guarded.do(lane.step)
        for guarded, lane in lanes:
            guarded.do(lane.end)
