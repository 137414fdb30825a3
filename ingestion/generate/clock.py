"""The session's clock: how busy each moment is, and when a message arrives."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SECOND_US = 1_000_000
ARRIVAL_MS = (1.0, 200.0)
_MEAN_OF_SHAPE = 1.13333
_GRID = np.linspace(0.0, 1.0, 4001)
# Integral of `diurnal`.
_CUMULATIVE = 0.6 * _GRID + 1.6 / 6 * ((2 * _GRID - 1) ** 3 + 1)
_CUMULATIVE /= _CUMULATIVE[-1]


def diurnal(u: Floats) -> Floats:
    """How busy the moment u in [0, 1] of the session is; the mean is 1 (analytics.md 23.3)."""
    busy: Floats = (0.6 + 1.6 * (2 * u - 1) ** 2) / _MEAN_OF_SHAPE
    return busy


def diurnal_moments(rng: np.random.Generator, count: int) -> Floats:
    """`count` moments u in [0, 1) of the session, as dense as it is busy."""
    u: Floats = np.interp(rng.random(count), _CUMULATIVE, _GRID)
    return u


def arrival_delay_ms(rng: np.random.Generator, count: int) -> Ints:
    """Whole milliseconds from event to our edge: about 10, within 1..200."""
    delay = np.clip(rng.lognormal(np.log(10.0), 0.9, count), *ARRIVAL_MS)
    return np.ceil(delay).astype(np.int64)


def received_ms(event_us: Ints, delay_ms: Ints) -> Ints:
    """Arrival in whole milliseconds since epoch; never before the event."""
    return -(-event_us // 1000) + delay_ms


def arrival_order(recv_ms: Ints) -> Ints:
    """Stable: messages of one millisecond keep the order they were sent in."""
    return np.argsort(recv_ms, kind="stable")


def numbered_within(group: Ints) -> Ints:
    """1, 2, 3 ... within each group, in the order given."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(group) else order
    lengths = np.diff(np.r_[first, len(group)])
    number = np.empty(len(group), dtype=np.int64)
    number[order] = np.arange(1, len(group) + 1) - np.repeat(first, lengths)
    return number
