"""The dealer who sleeps: he follows every ten minutes, or when the market has left his quotes."""

import numpy as np

from ingestion.generate.clock import SECOND_US, Bools, Floats, Ints
from ingestion.generate.prices import Paths

NAP_SECONDS = 600


def wakes(path: Paths, sleepy: Bools, limit: Floats, last_us: int) -> tuple[Ints, Ints]:
    """When the sleeping dealer of each instrument in `sleepy` quotes after the open.

    Gives active indices and moments (us since epoch UTC), by both, none after `last_us`. `limit`
    is how far, as log return, each active instrument's mid may move before he wakes early: beyond
    it his quotes would cross those of the others.
    """
    seconds = (last_us - path.opened_us) // SECOND_US
    found = [
        (instrument, second)
        for instrument in np.flatnonzero(sleepy).tolist()
        for second in _seconds(path.log_mid[instrument, : seconds + 1], float(limit[instrument]))
    ]
    active, second = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return active, path.opened_us + second * SECOND_US


def _seconds(log_mid: Floats, limit: float) -> list[int]:
    """Seconds of a path at which he wakes; each nap begins where the one before ended."""
    woken: list[int] = []
    asleep = 0
    while True:
        nap = log_mid[asleep + 1 : asleep + 1 + NAP_SECONDS]
        left = np.flatnonzero(np.abs(nap - log_mid[asleep]) > limit)
        if not len(left) and len(nap) < NAP_SECONDS:
            return woken
        asleep += 1 + int(left[0]) if len(left) else NAP_SECONDS
        woken.append(asleep)
