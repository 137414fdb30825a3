"""Which venue's quotes lead the price (analytics.md 15, price discovery b and c).

The log mids of n venues are taken as one price plus noise: a vector error correction model whose
errors are the differences to the first venue, on a grid of one second,

    dp_t = c + alpha z_(t-1) + sum_k G_k dp_(t-k) + e_t,   z = (p_1 - p_2, ..., p_1 - p_n).

The permanent part of an innovation is proportional to psi = alpha_perp, the vector that alpha does
not move. From it
  component share    CS_j = psi_j / sum(psi); of two venues alpha_2 / (alpha_2 - alpha_1)
                     (Gonzalo and Granger 1995)
  information share  IS_j = ([psi F]_j)^2 / (psi Omega psi'), F the Cholesky factor of the residual
                     covariance Omega; it depends on the order of the venues, so the smallest and
                     largest over all orders are given, and their middle (Hasbrouck 1995)
Of two venues also the information leadership share, which takes the noise out of both
(Putnins 2013).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import permutations

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from ml import quoted_seconds

Floats = NDArray[np.float64]

MIN_SECONDS = 1_800
MAX_LAG = 60
# Orders grow with the factorial; beyond this many venues each is put first and last only.
MAX_ORDERED = 6
ROWS_PER_COEFFICIENT = 5


@dataclass(frozen=True)
class Shares:
    """What each venue contributes, 0 to 1, in the order of the columns."""

    component: tuple[float, ...]
    information_low: tuple[float, ...]
    information_high: tuple[float, ...]
    information_mid: tuple[float, ...]
    lag: int
    seconds: int


@dataclass(frozen=True)
class Unknown:
    """Why there are no shares."""

    reason: str
    seconds: int


@dataclass(frozen=True)
class VenueShare:
    """A row of the result: one venue in one session of an instrument. Shares are null with a
    `reason` where the data do not carry them."""

    instrument_id: str
    session_date: date
    venue: str
    component_share: float | None
    information_share_low: float | None
    information_share_high: float | None
    information_share: float | None
    information_leadership_share: float | None
    lag: int | None
    joint_seconds: int
    reason: str | None


@dataclass(frozen=True)
class _Fit:
    alpha: Floats  # venues x (venues - 1)
    covariance: Floats  # venues x venues
    bic: float


def discover(
    conn: DuckDBPyConnection, instrument_id: str | None = None, day: date | None = None
) -> Iterator[VenueShare]:
    """Shares of every session that at least two venues quote, from published best quotes.

    A venue with fewer than 1,800 seconds of its own is left out of the session's model.
    """
    for session in quoted_seconds.sessions(conn, instrument_id, day):
        mids = quoted_seconds.log_mids(conn, session)
        own = np.isfinite(mids).sum(axis=0)
        places = np.flatnonzero(own >= MIN_SECONDS)
        found = shares(mids[:, places])
        for place, venue in enumerate(session.venues):
            if isinstance(found, Shares) and place in places:
                yield _row(session, venue, found, int(np.searchsorted(places, place)))
                continue
            few = f"fewer than {MIN_SECONDS} seconds of its own"
            reason = few if isinstance(found, Shares) else found.reason
            yield VenueShare(
                *(session.instrument_id, session.session_date, venue),
                *(None, None, None, None, None, None),
                joint_seconds=int(own[place]) if reason == few else found.seconds,
                reason=reason,
            )


def _row(session: quoted_seconds.Session, venue: str, found: Shares, place: int) -> VenueShare:
    return VenueShare(
        instrument_id=session.instrument_id,
        session_date=session.session_date,
        venue=venue,
        component_share=found.component[place],
        information_share_low=found.information_low[place],
        information_share_high=found.information_high[place],
        information_share=found.information_mid[place],
        information_leadership_share=leadership(found, place),
        lag=found.lag,
        joint_seconds=found.seconds,
        reason=None,
    )


def leadership(found: Shares, place: int) -> float | None:
    """Information leadership share of one of two venues, None of more: with L_1 =
    |IS_1 / IS_2 * CS_2 / CS_1| it is L_1 / (L_1 + 1 / L_1)."""
    if len(found.component) != 2:
        return None
    this, other = place, 1 - place
    above = found.information_mid[this] * found.component[other]
    below = found.information_mid[other] * found.component[this]
    both = above**2 + below**2
    return above**2 / both if both > 0 else None


def shares(log_mids: Floats, max_lag: int = MAX_LAG) -> Shares | Unknown:
    """Shares of the venues in columns, from log mids in rows, one per second.

    A row with a NaN is a second that is not known for all venues; nothing is bridged over it. The
    number of lagged differences is that of the smallest BIC among 0 to `max_lag`, all on the same
    seconds; fewer are tried where the data would not carry them.
    """
    seconds = int(np.isfinite(log_mids).all(axis=1).sum())
    venues = log_mids.shape[1]
    if venues < 2:
        return Unknown("fewer than 2 venues", seconds)
    if seconds < MIN_SECONDS:
        return Unknown(f"fewer than {MIN_SECONDS} joint seconds", seconds)
    found = _best_fit(log_mids, max_lag)
    if found is None:
        return Unknown("no model: too few seconds in a row, or mids that never differ", seconds)
    fit, lag = found
    psi = _unmoved(fit.alpha)
    if psi is None:
        return Unknown("no venue corrects towards another", seconds)
    low, high = _information(psi, fit.covariance)
    return Shares(
        component=tuple(psi.tolist()),
        information_low=tuple(low.tolist()),
        information_high=tuple(high.tolist()),
        information_mid=tuple(((low + high) / 2).tolist()),
        lag=lag,
        seconds=seconds,
    )


def _best_fit(log_mids: Floats, max_lag: int) -> tuple[_Fit, int] | None:
    venues = log_mids.shape[1]
    for most in range(max_lag, -1, -1):
        changes, regressors = _design(log_mids, most)
        if len(changes) >= ROWS_PER_COEFFICIENT * regressors.shape[1]:
            break
    else:
        return None
    # One product of sums serves all lags: the regressors of a smaller one come first.
    squares, cross = regressors.T @ regressors, regressors.T @ changes
    total = changes.T @ changes
    best: tuple[_Fit, int] | None = None
    for lag in range(most + 1):
        size = venues + lag * venues
        fit = _fit(squares[:size, :size], cross[:size], total, len(changes), venues)
        if fit is not None and (best is None or fit.bic < best[0].bic):
            best = fit, lag
    return best


def _design(log_mids: Floats, lag: int) -> tuple[Floats, Floats]:
    """Changes, and regressors: 1, the errors of the second before, then `lag` earlier changes.
    Scaled, so that sums of squares are of one size; rows with a gap are left out."""
    scaled = (log_mids - np.nanmean(log_mids)) * 1e4
    changes = np.diff(scaled, axis=0)
    errors = scaled[:-1, :1] - scaled[:-1, 1:]
    earlier = [changes[lag - k : len(changes) - k] for k in range(1, lag + 1)]
    regressors = np.hstack([np.ones((len(changes) - lag, 1)), errors[lag:], *earlier])
    whole = np.isfinite(regressors).all(axis=1) & np.isfinite(changes[lag:]).all(axis=1)
    return changes[lag:][whole], regressors[whole]


def _fit(squares: Floats, cross: Floats, total: Floats, rows: int, venues: int) -> _Fit | None:
    try:
        coefficients = np.linalg.solve(squares, cross)
    except np.linalg.LinAlgError:
        return None
    covariance = (total - cross.T @ coefficients) / rows
    sign, log_det = np.linalg.slogdet(covariance)
    if sign <= 0 or not np.isfinite(log_det):
        return None
    bic = float(log_det + np.log(rows) * coefficients.size / rows)
    alpha = np.asarray(coefficients[1:venues].T, dtype=np.float64)
    return _Fit(alpha, np.asarray(covariance, dtype=np.float64), bic)


def _unmoved(alpha: Floats) -> Floats | None:
    """The vector that alpha does not move, summing to 1: alpha_perp."""
    left, sizes, _ = np.linalg.svd(alpha)
    if sizes[-1] <= 1e-9 * max(sizes[0], 1.0):
        return None
    psi = left[:, -1]
    total = psi.sum()
    return None if abs(total) < 1e-9 else psi / total


def _information(psi: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """The smallest and largest information share of each venue over the orders."""
    venues = len(psi)
    whole = float(psi @ covariance @ psi)
    orders: list[tuple[int, ...]] = (
        list(permutations(range(venues)))
        if venues <= MAX_ORDERED
        else [tuple(np.roll(range(venues), k)) for k in range(venues)]
        + [tuple(np.roll(range(venues)[::-1], k)) for k in range(venues)]
    )
    found = np.empty((len(orders), venues))
    for row, order in enumerate(orders):
        places = list(order)
        factor = np.linalg.cholesky(covariance[np.ix_(places, places)])
        found[row, places] = (psi[places] @ factor) ** 2 / whole
    return found.min(axis=0), found.max(axis=0)
