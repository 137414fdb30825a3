"""The statistical acceptance list of analytics.md 23.3, measured on what the generator sends.

Nothing here looks at the model behind the messages: dealers' quotes are put back together from
their columns, trades are the sound messages, mids are the middle of the best bid and offer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate import quotes as dealer_quotes
from ingestion.generate import trades as trade_messages
from ingestion.generate.bbo import best_before
from ingestion.generate.clock import SECOND_US, Floats, Ints
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.prices import TRADING_DAYS
from ingestion.generate.universe import Universe, universe

MINUTE_US = 60 * SECOND_US
COARSE_MINUTES = 5
EDGE_MINUTES = 30


@dataclass(frozen=True)
class Figure:
    """One line of the list: what was measured, and the bounds it has to lie in, both included."""

    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Does the value lie in its bounds? NaN does not."""
        return bool(self.low <= self.value <= self.high)


@dataclass(frozen=True)
class _Day:
    """What one day contributes: sums and samples that add up over days."""

    quotes_in_bounds: int
    quotes_two_sided: int
    trades_within: int
    trades_with_best: int
    minute_returns: Floats  # (stocks, minutes)
    signs: list[Ints]  # per stock, +1 bought, -1 sold
    counts: list[Ints]  # per stock, trades in each second
    volume: Floats  # per minute of the session, in units of each stock's own mean


def measure(plan: Plan, progress: Callable[[date], None] | None = None) -> list[Figure]:
    """The figures of a plan; `progress` is told of each day that is done.

    Raises ValueError where the plan has no trades to measure, or too few stocks to correlate.
    """
    known = universe(plan)
    if known.stocks < 2 or not plan.trades:
        raise ValueError("acceptance: at least two stocks and some trades are needed")
    days = []
    for day in plan.days:
        days.append(_measure_day(plan, known, day))
        if progress:
            progress(day)
    returns = [day.minute_returns for day in days]
    wanted = known.column("volatility")[: known.stocks]
    return [
        Figure("dealer spreads within 5-50 bps, share", _share(days, "quotes"), 1.0, 1.0),
        Figure("trade sign autocorrelation, lag 1", _sign_correlation(days), 0.2, 0.4),
        Figure("Fano factor of trades per second", _fano(days), np.nextafter(1.5, 2), np.inf),
        Figure(
            "autocorrelation of |1-min return|, lag 1",
            _lag_one([np.abs(r) for r in returns]),
            np.nextafter(0.1, 1),
            np.inf,
        ),
        Figure("kurtosis of 1-min returns", _kurtosis(returns), np.nextafter(4.0, 5), np.inf),
        Figure("volume in the first and last 30 min, share", _edges(days), 0.25, 1.0),
        Figure("realized over configured volatility", _realized(returns, wanted), 0.85, 1.15),
        Figure("correlation within the sector, 5-min returns", _correlation(returns), 0.3, 0.7),
        Figure("trades within the best bid and offer, share", _share(days, "trades"), 0.95, 1.0),
    ]


def _measure_day(plan: Plan, known: Universe, day: date) -> _Day:
    quoted, book = _quotes(plan, known, day)
    traded = _sound_trades(plan, known, day)
    opened, closed = session_us(day)
    active, event_us = traded["active"].to_numpy(), traded["event_us"].to_numpy()
    best = best_before(book, active, event_us)
    price = traded["price"].to_numpy()
    within = best.two_sided & (price >= best.bid) & (price <= best.offer)
    of_stock = [traded.filter(pl.col("active") == stock) for stock in range(known.stocks)]
    seconds = (closed - opened) // SECOND_US
    at = [(t["event_us"].to_numpy() - opened) // SECOND_US for t in of_stock]
    return _Day(
        quotes_in_bounds=int(((quoted["bps"] >= 5) & (quoted["bps"] <= 50)).sum()),
        quotes_two_sided=len(quoted),
        trades_within=int(within.sum()),
        trades_with_best=int(best.two_sided.sum()),
        minute_returns=_minute_returns(known, book, opened, closed),
        signs=[np.where(t["buy"].to_numpy(), 1, -1) for t in of_stock],
        counts=[np.bincount(second, minlength=seconds) for second in at],
        volume=_volume(of_stock, at, seconds // 60),
    )


def _quotes(plan: Plan, known: Universe, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spreads of the two-sided messages in bps, and the columns `best_before` asks for."""
    sent = pl.concat(dealer_quotes.rows(plan, day)).sort("event_us", maintain_order=True)
    numbers = pl.Series(known.column("instrument_id").astype(str))
    bid, offer = pl.col("bid_price"), pl.col("offer_price")
    whole = sent.filter(pl.col("side").is_null() & bid.is_not_null() & offer.is_not_null())
    # One division, of integers; 5.0 bps exactly is inside.
    spread = whole.select(bps=20_000 * (offer - bid) / (offer + bid))
    one_sided = pl.col("side").replace_strict({"BID": 1, "OFFER": 2}, default=0)
    gone = (
        pl.when(pl.col("action") == "DELETE")
        .then(one_sided)
        .when(pl.col("side").is_null() & bid.is_null())
        .then(1)
        .when(pl.col("side").is_null() & offer.is_null())
        .then(2)
        .otherwise(0)
    )
    book = sent.select(
        "event_us",
        active=pl.col("instrument_id").replace_strict(
            numbers, pl.int_range(len(numbers), eager=True)
        ),
        dealer=pl.col("dealer_id").cast(pl.Categorical).to_physical().cast(pl.Int64),
        bid=pl.coalesce(bid, "price").fill_null(0),
        offer=pl.coalesce(offer, "price").fill_null(0),
        one_sided=one_sided.cast(pl.Int64),
        withdrawn=gone.cast(pl.Int64),
    )
    return spread, book


def _sound_trades(plan: Plan, known: Universe, day: date) -> pl.DataFrame:
    """Trades without a fault in the order they happened: active, event_us, price, buy, quantity."""
    sent = pl.concat(trade_messages.rows(plan, day)).filter(pl.col("fault").is_null())
    numbers = pl.Series(known.column("instrument_id").astype(str))
    return sent.sort("event_us", "trade_id").select(
        "event_us",
        "price",
        "quantity",
        active=pl.col("instrument_id").replace_strict(
            numbers, pl.int_range(len(numbers), eager=True)
        ),
        buy=pl.col("side") == "B",
    )


def _minute_returns(known: Universe, book: pl.DataFrame, opened: int, closed: int) -> Floats:
    """Log returns (stocks, minutes - 1) of the mid of the best bid and offer."""
    ends = np.arange(opened + MINUTE_US, closed + 1, MINUTE_US)
    active = np.repeat(np.arange(known.stocks), len(ends))
    best = best_before(
        book.filter(pl.col("active") < known.stocks), active, np.tile(ends, known.stocks)
    )
    mid = np.where(best.two_sided, (best.bid + best.offer) / 2, np.nan)
    filled = pl.DataFrame({"stock": active, "mid": mid}).select(
        pl.col("mid").fill_nan(None).forward_fill().over("stock")
    )
    grid = np.log(filled.to_series().to_numpy().reshape(known.stocks, len(ends)))
    moves: Floats = np.diff(grid, axis=1)
    return np.nan_to_num(moves)


def _volume(of_stock: list[pl.DataFrame], at: list[Ints], minutes: int) -> Floats:
    """Volume by minute of the session, every stock weighing the same."""
    total = np.zeros(minutes)
    for traded, second in zip(of_stock, at, strict=True):
        volume = np.bincount(second // 60, traded["quantity"].to_numpy(), minutes)
        total += volume / max(volume.sum(), 1.0)
    return total


def _share(days: list[_Day], what: str) -> float:
    if what == "quotes":
        inside, all_ = sum(d.quotes_in_bounds for d in days), sum(d.quotes_two_sided for d in days)
    else:
        inside, all_ = sum(d.trades_within for d in days), sum(d.trades_with_best for d in days)
    return inside / all_ if all_ else float("nan")


def _sign_correlation(days: list[_Day]) -> float:
    products = [sign[1:] * sign[:-1] for day in days for sign in day.signs]
    return float(np.concatenate(products).mean())


def _fano(days: list[_Day]) -> float:
    """Variance over mean of the counts per second, the mean of every stock and day."""
    factors = [
        counts.var() / counts.mean() for day in days for counts in day.counts if counts.any()
    ]
    return float(np.mean(factors))


def _lag_one(days: list[Floats]) -> float:
    """Autocorrelation at lag 1 of each stock's series, pairs within a day, averaged over stocks."""
    mean = np.concatenate(days, axis=1).mean(axis=1, keepdims=True)
    products = sum(((day[:, 1:] - mean) * (day[:, :-1] - mean)).sum(axis=1) for day in days)
    squares = sum(((day - mean) ** 2).sum(axis=1) for day in days)
    return float(np.mean(products / squares))


def _kurtosis(returns: list[Floats]) -> float:
    """Fourth moment over the squared second, per stock over all days, averaged over stocks."""
    pooled = np.concatenate(returns, axis=1)
    return float(np.mean((pooled**4).mean(axis=1) / (pooled**2).mean(axis=1) ** 2))


def _edges(days: list[_Day]) -> float:
    volume = sum((day.volume for day in days), np.zeros_like(days[0].volume))
    edge = volume[:EDGE_MINUTES].sum() + volume[-EDGE_MINUTES:].sum()
    return float(edge / volume.sum())


def _realized(returns: list[Floats], wanted: Floats) -> float:
    """Annual volatility of 5-minute returns over the configured one, the mean of all stocks."""
    coarse = [_coarse(r) for r in returns]
    # A day's returns begin at the end of its first minute.
    of_day = (returns[0].shape[1] + 1) / (coarse[0].shape[1] * COARSE_MINUTES)
    variance = np.mean([(r**2).sum(axis=1) for r in coarse], axis=0) * of_day
    return float(np.mean(np.sqrt(variance * TRADING_DAYS) / wanted))


def _correlation(returns: list[Floats]) -> float:
    """Mean correlation of all pairs of stocks, which are one sector."""
    pooled = np.concatenate([_coarse(r) for r in returns], axis=1)
    matrix = np.corrcoef(pooled)
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def _coarse(returns: Floats) -> Floats:
    """1-minute returns summed to 5-minute ones; a rest that fills no bin is left out."""
    stocks, minutes = returns.shape
    bins = minutes // COARSE_MINUTES
    summed: Floats = returns[:, : bins * COARSE_MINUTES].reshape(stocks, bins, -1).sum(axis=2)
    return summed
