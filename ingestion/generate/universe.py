"""The instruments that trade: stocks, energy futures, and those bonds that dealers make markets in.

The millions of bonds that merely stand in the master are made by securities.py as it streams.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate import identifiers
from ingestion.generate.bonds import bond_facts
from ingestion.generate.clock import Floats, Ints
from ingestion.generate.encode import PRICE_SCALE
from ingestion.generate.listing import listed_bonds
from ingestion.generate.plan import Plan

STOCK_SEGMENT, FUTURE_SEGMENT = "EQUITY", "ENERGY"
UNIT = 10**PRICE_SCALE
STOCK_TICK, BOND_TICK = UNIT // 100, UNIT // 1000
# Fewer quotes than this a day make no market in a bond.
QUOTES_PER_BOND = 1_000
LEAST_BONDS = 4
ZIPF_EXPONENT = 0.5


@dataclass(frozen=True)
class Universe:
    """`frame` has one row an instrument, stocks first, then futures, then bonds:

    instrument_id, name, issuer, cusip, isin, segment, kind (stock | future | bond), tick (units of
    0.0001), price (USD, opening level), volatility (annual), spread_low, spread_high (bps),
    multiplier. `active` are the rows that dealers quote, stocks first, and `weights` (summing to
    1) say how often. `stocks` is how many of the active ones are stocks.
    """

    frame: pl.DataFrame
    active: Ints
    weights: Floats
    stocks: int

    def column(self, name: str) -> np.ndarray:
        """A column of the active instruments."""
        return self.frame[name].to_numpy()[self.active]


@lru_cache(maxsize=4)
def universe(plan: Plan) -> Universe:
    """All instruments of the plan that trade, and which of them trade how often (Zipf-like)."""
    bonds = bond_facts(plan, active_bonds(plan)).select(
        "instrument_id", "name", "issuer", "cusip", "isin", "segment",
        kind=pl.lit("bond"),
        tick=pl.lit(BOND_TICK, dtype=pl.Int64),
        price="price",
        volatility="volatility",
        spread_low="spread_low",
        spread_high="spread_high",
        multiplier=pl.lit(0.01),
    )  # fmt: skip
    listed = listed_instruments(plan)
    futures = len(plan.market.futures)
    stocks = min(len(plan.market.stocks), _most_active(plan))
    frame = pl.concat([listed, bonds])
    first_bond = len(plan.market.stocks) + futures
    active = np.r_[np.arange(stocks), np.arange(first_bond, len(frame))].astype(np.int64)
    return Universe(frame, active, _weights(plan, stocks, len(bonds)), stocks)


def _weights(plan: Plan, stocks: int, bonds: int) -> Floats:
    """Stocks share `stock_share` of the activity, bonds the rest; Zipf-like within each class."""
    shares = (plan.market.stock_share, 1 - plan.market.stock_share) if bonds else (1.0, 0.0)
    parts = []
    for share, count in zip(shares, (stocks, bonds), strict=True):
        of_class = np.arange(1, count + 1, dtype=np.float64) ** -ZIPF_EXPONENT
        parts.append(share * of_class / max(of_class.sum(), 1e-9))
    weights: Floats = np.concatenate(parts) / sum(part.sum() for part in parts)
    return weights


@lru_cache(maxsize=4)
def active_bonds(plan: Plan) -> Ints:
    """Numbers of the bonds that dealers quote, ascending."""
    room = _most_active(plan) - len(plan.market.stocks)
    wanted = max(LEAST_BONDS, plan.quotes // len(plan.days) // QUOTES_PER_BOND)
    listed = listed_bonds(plan)
    count = max(0, min(wanted, plan.market.active_bonds, room, listed // 4))
    return np.sort(plan.rng("active").choice(listed, count, replace=False)).astype(np.int64)


def listed_instruments(plan: Plan) -> pl.DataFrame:
    """Stocks and futures, with the columns of `Universe.frame`."""
    market = plan.market
    low, high = market.stock_spread_bps
    stocks = pl.DataFrame(
        {
            "instrument_id": [s.symbol for s in market.stocks],
            "name": [s.name for s in market.stocks],
            "issuer": [s.name for s in market.stocks],
            "base": [s.cusip for s in market.stocks],
            "segment": STOCK_SEGMENT,
            "kind": "stock",
            "tick": STOCK_TICK,
            "price": [s.price for s in market.stocks],
            "volatility": [s.volatility for s in market.stocks],
            "spread_low": low,
            "spread_high": high,
            "multiplier": 1.0,
        }
    )
    futures = pl.DataFrame(
        {
            "instrument_id": [f.symbol for f in market.futures],
            "name": [f.name for f in market.futures],
            "issuer": [f.name for f in market.futures],
            "base": [f"99ZZZZ{number:02d}" for number in range(len(market.futures))],
            "segment": FUTURE_SEGMENT,
            "kind": "future",
            "tick": [round(f.tick * UNIT) for f in market.futures],
            "price": [f.price for f in market.futures],
            "volatility": [f.volatility for f in market.futures],
            "spread_low": low,
            "spread_high": high,
            "multiplier": [f.multiplier for f in market.futures],
        }
    )
    both = pl.concat([stocks, futures], how="vertical_relaxed").with_columns(
        pl.col("tick").cast(pl.Int64), pl.col("price", "multiplier").cast(pl.Float64)
    )
    cusip = identifiers.with_cusip_digit(identifiers.values_of(both["base"].to_list()))
    return both.with_columns(
        cusip=pl.Series(identifiers.texts_of(cusip)),
        isin=pl.Series(identifiers.texts_of(identifiers.us_isin(cusip))),
    ).select(
        "instrument_id", "name", "issuer", "cusip", "isin", "segment", "kind", "tick", "price",
        "volatility", "spread_low", "spread_high", "multiplier",
    )  # fmt: skip


def _most_active(plan: Plan) -> int:
    """Every active instrument needs a quote on every day, where there are any."""
    if not plan.quotes:
        return len(plan.market.stocks)
    return max(1, min(plan.split(plan.quotes)))
