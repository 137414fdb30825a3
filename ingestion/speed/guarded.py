"""A step that is done again and again, and whose failures stop nothing else."""

import time
from collections.abc import Callable

import structlog

from lake.locks import Busy

log = structlog.get_logger()

BUSY_SECONDS = 2.0  # until a process looks again whether another still makes the candles
LONGEST_PAUSE_SECONDS = 60.0


class Guarded:
    """Steps of one thread for one dataset; what they raise makes it give up and rest a while."""

    def __init__(self, dataset: str, give_up: Callable[[], None]) -> None:
        self._dataset = dataset
        self._give_up = give_up
        self._failures = 0
        self._not_before = 0.0

    def do(self, step: Callable[[], None]) -> None:
        """Do a step, unless it has to rest."""
        if time.monotonic() < self._not_before:
            return
        try:
            step()
        except Busy:
            self._rest(BUSY_SECONDS)
        except KeyboardInterrupt:  # meant for the main thread; polars raises it where it computes
            self._rest(0)
        except Exception as error:
            if time.monotonic() - self._not_before > LONGEST_PAUSE_SECONDS:
                self._failures = 0  # it went well for long
            self._failures += 1
            pause_s = min(LONGEST_PAUSE_SECONDS, 2.0**self._failures)
            log.exception(
                "speed layer: beginning again from bronze",
                dataset=self._dataset,
                why=str(error),
                pause_s=pause_s,
            )
            self._rest(pause_s)

    def _rest(self, pause_s: float) -> None:
        self._give_up()
        self._not_before = time.monotonic() + pause_s
