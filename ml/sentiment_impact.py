"""Does sentiment move volatility? The regression of analytics.md 20 over gold.sentiment_volatility.

    ln RV_t = b0 + b1 ln RV_{t-1} + b2 mean5 + b3 mean22 + g1 S_{t-1} + g2 ln(1 + n_{t-1}) + e

a log-HAR model (Corsi 2009) with the mean score and the number of posts of the session before. Its
coefficients have Newey-West errors with five lags; out of sample it is judged against the same
model without posts by QLIKE (Patton 2011) and a Diebold-Mariano test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

Floats = npt.NDArray[np.float64]

HAR = ("ln_rv_lag_1", "ln_rv_mean_5", "ln_rv_mean_22")
POSTS = ("sentiment_lag_1", "ln_posts_lag_1")
COLUMNS = ("ln_rv", "rv_5m", *HAR, *POSTS)
LAGS = 5  # of Newey and West
FEWEST = 60  # sessions of an instrument
TRAIN_SHARE, REFIT_EVERY = 0.6, 21
SIGNIFICANT, BETTER = 0.05, 0.10  # p of the coefficient, p of the better forecast
POOLED = "all"


class TooFewSessions(ValueError):
    """There is not enough to estimate from; the message says what there is."""


@dataclass(frozen=True)
class Panel:
    """Complete rows, ordered by instrument and session. `values` has a column per COLUMNS."""

    instruments: npt.NDArray[np.str_]
    sessions: npt.NDArray[np.datetime64]
    values: Floats

    def of(self, instrument: str) -> "Panel":
        """The rows of one instrument."""
        rows = self.instruments == instrument
        return Panel(self.instruments[rows], self.sessions[rows], self.values[rows])

    def column(self, name: str) -> Floats:
        """One of COLUMNS."""
        found: Floats = self.values[:, COLUMNS.index(name)]
        return found


@dataclass(frozen=True)
class Impact:
    """What posts add. t and p by Newey and West; `adj_r2_gain` in sample; QLIKE out of sample.

    `dm_p` is the two-sided p of equal QLIKE, null where there are too few sessions to forecast.
    """

    instrument: str
    n: int
    gamma_sentiment: float
    t_sentiment: float
    p_sentiment: float
    gamma_posts: float
    t_posts: float
    p_posts: float
    adj_r2: float
    adj_r2_gain: float
    n_forecasts: int
    qlike: float | None
    qlike_without: float | None
    dm_p: float | None

    @property
    def verdict(self) -> str:
        """An effect is one that is significant in sample and forecasts better out of sample."""
        significant = min(self.p_sentiment, self.p_posts) < SIGNIFICANT
        if self.dm_p is None or self.qlike is None or self.qlike_without is None:
            return "too few sessions to forecast" if significant else "no effect found"
        if not significant:
            return "no effect found"
        if self.qlike < self.qlike_without and self.dm_p < BETTER:
            return "effect found"
        return "no effect found: significant in sample, no better forecast"


def read(conn: DuckDBPyConnection) -> Panel:
    """Complete rows of gold.sentiment_volatility: where there were no posts there is no row."""
    names = ", ".join(COLUMNS)
    complete = " and ".join(f"{name} is not null" for name in COLUMNS)
    rows = conn.execute(
        f"select instrument_id, session_date, {names} from gold.sentiment_volatility "
        f"where {complete} order by instrument_id, session_date"
    ).fetchall()
    return Panel(
        np.array([row[0] for row in rows], dtype=np.str_),
        np.array([row[1] for row in rows], dtype="datetime64[D]"),
        np.array([row[2:] for row in rows], dtype=np.float64).reshape(len(rows), len(COLUMNS)),
    )


def impacts(panel: Panel) -> list[Impact]:
    """The pooled estimate (a constant per instrument), then each instrument with FEWEST sessions.

    Raises TooFewSessions where no instrument has that many.
    """
    names, counts = np.unique(panel.instruments, return_counts=True)
    enough = [str(name) for name, count in zip(names, counts, strict=True) if count >= FEWEST]
    if not enough:
        most = int(counts.max()) if len(counts) else 0
        raise TooFewSessions(
            f"an instrument needs {FEWEST} sessions with realized volatility after 22 others, and "
            f"posts; the most that one has is {most}. Land more days and build."
        )
    kept = np.isin(panel.instruments, enough)
    pooled = Panel(panel.instruments[kept], panel.sessions[kept], panel.values[kept])
    found = [_impact(POOLED, pooled)] if len(enough) > 1 else []
    return found + [_impact(name, panel.of(name)) for name in enough]


def _design(panel: Panel, columns: Sequence[str], names: npt.NDArray[np.str_]) -> Floats:
    constants = (panel.instruments[:, None] == names[None, :]).astype(np.float64)
    return np.column_stack([constants, *(panel.column(name) for name in columns)])


def _impact(label: str, panel: Panel) -> Impact:
    import statsmodels.api as sm

    names = np.unique(panel.instruments)
    y = panel.column("ln_rv")
    model = sm.OLS(y, _design(panel, (*HAR, *POSTS), names), hasconst=True)
    if len(names) > 1:
        groups = np.searchsorted(names, panel.instruments)
        robust = model.fit(cov_type="hac-panel", cov_kwds={"groups": groups, "maxlags": LAGS})
    else:
        robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": LAGS})
    without = sm.OLS(y, _design(panel, HAR, names), hasconst=True).fit()
    gain = float(robust.rsquared_adj - without.rsquared_adj)
    forecasts, with_posts, without_posts, dm_p = _out_of_sample(panel, names)
    return Impact(
        label,
        len(y),
        *_coefficient(robust, -2),
        *_coefficient(robust, -1),
        float(robust.rsquared_adj),
        gain,
        forecasts,
        with_posts,
        without_posts,
        dm_p,
    )


def _coefficient(fitted: Any, place: int) -> tuple[float, float, float]:
    return tuple(float(part[place]) for part in (fitted.params, fitted.tvalues, fitted.pvalues))  # type: ignore[return-value]


def _out_of_sample(
    panel: Panel, names: npt.NDArray[np.str_]
) -> tuple[int, float | None, float | None, float | None]:
    """Sessions forecast, mean QLIKE with and without posts, and the p that they are equal.

    Expanding windows from TRAIN_SHARE of the sessions on, fitted anew every REFIT_EVERY, one
    session ahead. Losses of one session are averaged first: instruments are not independent.
    """
    sessions = np.unique(panel.sessions)
    first = int(len(sessions) * TRAIN_SHARE)
    tested = sessions[first:]
    if first < FEWEST // 2 or len(tested) < REFIT_EVERY:
        return 0, None, None, None
    losses = [
        _losses(panel, _design(panel, columns, names), sessions, first)
        for columns in ((*HAR, *POSTS), HAR)
    ]
    with_posts, without = (
        np.array([loss[panel.sessions == session].mean() for session in tested]) for loss in losses
    )
    return (
        len(tested),
        float(with_posts.mean()),
        float(without.mean()),
        diebold_mariano(with_posts - without),
    )


def _losses(panel: Panel, x: Floats, sessions: npt.NDArray[np.datetime64], first: int) -> Floats:
    """QLIKE y/f - ln(y/f) - 1 of each row from session `first` on; NaN before."""
    y, actual = panel.column("ln_rv"), panel.column("rv_5m")
    losses = np.full(len(y), np.nan)
    for start in range(first, len(sessions), REFIT_EVERY):
        train = panel.sessions < sessions[start]
        test = (panel.sessions >= sessions[start]) & (
            panel.sessions <= sessions[min(start + REFIT_EVERY, len(sessions)) - 1]
        )
        beta, *_ = np.linalg.lstsq(x[train], y[train], rcond=None)
        residual = y[train] - x[train] @ beta
        spread = residual @ residual / max(train.sum() - x.shape[1], 1)
        ratio = actual[test] / np.exp(x[test] @ beta + spread / 2)
        losses[test] = ratio - np.log(ratio) - 1
    return losses


def diebold_mariano(difference: Floats) -> float | None:
    """Two-sided p that the mean loss difference of one-step forecasts is zero (1995, no lags)."""
    from math import erfc, sqrt

    spread = float(difference.std(ddof=1))
    if spread == 0:
        return None
    z = float(difference.mean()) / (spread / sqrt(len(difference)))
    return erfc(abs(z) / sqrt(2))
