"""The instruments: eight stocks, and corporate bonds of invented issuers.

Row r of the universe is the same instrument everywhere in this room. The first
`listed` rows are in the master from the first day on; the rest are listed later.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate import identifiers
from ingestion.generate.plan import Plan

# Symbol, name, CUSIP without its check digit, price in USD, annual volatility (analytics.md 23.3).
STOCKS: tuple[tuple[str, str, str, float, float], ...] = (
    ("AAPL", "Apple Inc", "03783310", 175.0, 0.25),
    ("GOOGL", "Alphabet Inc", "02079K30", 140.0, 0.30),
    ("MSFT", "Microsoft Corp", "59491810", 350.0, 0.25),
    ("AMZN", "Amazon.com Inc", "02313510", 140.0, 0.35),
    ("TSLA", "Tesla Inc", "88160R10", 250.0, 0.50),
    ("NVDA", "NVIDIA Corp", "67066G10", 450.0, 0.40),
    ("META", "Meta Platforms Inc", "30303M10", 320.0, 0.35),
    ("NFLX", "Netflix Inc", "64110L10", 450.0, 0.40),
)
STOCK_SEGMENT = "EQUITY"


@dataclass(frozen=True)
class Segment:
    """Bounds of a bond segment: price per 100, dealer spread in bps, annual volatility."""

    code: str
    share: float
    prices: tuple[float, float]
    spread_bps: tuple[float, float]
    volatility: float


SEGMENTS = (
    Segment("HG", 0.55, (85.0, 140.0), (5.0, 20.0), 0.06),
    Segment("AG", 0.20, (90.0, 140.0), (5.0, 15.0), 0.04),
    Segment("HY", 0.25, (60.0, 120.0), (20.0, 50.0), 0.12),
)
STOCK_SPREAD_BPS = (5.0, 10.0)
# Prices are integers of 0.0001 throughout the room, so nothing is ever rounded twice.
PRICE_UNIT_PLACES = 4
UNIT = 10**PRICE_UNIT_PLACES
BOND_TICK, STOCK_TICK = 10, 100

BONDS_PER_ISSUER = 20
ACTIVE_BONDS = 300
ZIPF_EXPONENT = 0.8
MAX_CHANGES_PER_DAY = 400
NEW_SHARE_OF_CHANGES = 0.25

# fmt: off
_FIRST = [
    "Aldgate", "Barrow", "Calder", "Dunmore", "Elmhurst", "Fairlight", "Granby", "Halden",
    "Ironbridge", "Juniper", "Kestrel", "Larkspur", "Meridian", "Norwood", "Oakhaven",
    "Pemberton", "Quarry", "Ridgeway", "Stanhope", "Thornbury", "Umber", "Vantage", "Westmark",
    "Yarrow", "Zenith", "Ashcombe", "Blackwater", "Castell", "Delmar", "Everdene", "Foxley",
    "Glenmore", "Harcourt", "Inverness", "Kingsway", "Lowell", "Müller", "Northgate", "Orchard",
    "Pinecrest",
]
_SECOND = [
    "Energy", "Water", "Rail", "Health", "Foods", "Materials", "Power", "Telecom", "Freight",
    "Insurance", "Chemicals", "Retail", "Capital", "Aerospace", "Motors", "Paper", "Steel",
    "Semiconductor", "Logistics", "Media", "Pharma", "Homes", "Leasing", "Mining", "Utilities",
]
# fmt: on
_LAST = ("Inc", "Corp", "Holdings", "Group", "PLC")


@dataclass(frozen=True)
class Universe:
    """Columns of `frame`, one row an instrument:

    instrument_id, name, issuer, cusip, isin, segment, is_stock, tick (units of 0.0001), places
    (decimals of a price), price (opening level), volatility (annual), spread_low, spread_high (bps)
    """

    frame: pl.DataFrame
    listed: int
    active: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


def changes_per_day(plan: Plan) -> int:
    """Master messages on each day after the first: a few hundred, never much of the master."""
    later = len(plan.days) - 1
    if later == 0:
        return 0
    return max(2, min(MAX_CHANGES_PER_DAY, plan.securities // 50, plan.securities // (4 * later)))


def new_per_day(plan: Plan) -> int:
    """How many of a later day's master messages list a new instrument."""
    return int(changes_per_day(plan) * NEW_SHARE_OF_CHANGES)


@lru_cache(maxsize=4)
def universe(plan: Plan) -> Universe:
    """All instruments of the plan, and which of them trade how often.

    The actively traded ones are the stocks and some hundreds of bonds, Zipf-like.
    """
    later = len(plan.days) - 1
    listed = plan.securities - changes_per_day(plan) * later
    bonds = listed - len(STOCKS) + new_per_day(plan) * later
    frame = pl.concat([_stocks(), _bonds(plan, bonds)])
    traded = min(ACTIVE_BONDS, (listed - len(STOCKS)) // 4)
    picked = plan.rng("active").choice(listed - len(STOCKS), traded, replace=False)
    active = np.concatenate([np.arange(len(STOCKS)), picked + len(STOCKS)]).astype(np.int64)
    weights = np.arange(1, len(active) + 1, dtype=np.float64) ** -ZIPF_EXPONENT
    return Universe(frame, listed, active, weights / weights.sum())


def issuer_names(issuer: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    """Invented company names, one for each issuer number."""
    first = np.array(_FIRST)[issuer % len(_FIRST)]
    second = np.array(_SECOND)[issuer // len(_FIRST) % len(_SECOND)]
    pairs = len(_FIRST) * len(_SECOND)
    last = np.array(_LAST)[issuer // pairs % len(_LAST)]
    series = issuer // (pairs * len(_LAST))
    numbered = np.where(series > 0, np.strings.add(" ", (series + 1).astype(str)), "")
    return _joined(first, " ", second, numbered, " ", last)


def _stocks() -> pl.DataFrame:
    symbols, names, bases, prices, volatilities = zip(*STOCKS, strict=True)
    cusip = identifiers.with_cusip_digit(identifiers.values_of(list(bases)))
    return pl.DataFrame(
        {
            "instrument_id": symbols,
            "name": names,
            "issuer": names,
            "cusip": identifiers.texts_of(cusip),
            "isin": identifiers.texts_of(identifiers.us_isin(cusip)),
            "segment": [STOCK_SEGMENT] * len(STOCKS),
            "is_stock": [True] * len(STOCKS),
            "tick": [STOCK_TICK] * len(STOCKS),
            "places": [2] * len(STOCKS),
            "price": prices,
            "volatility": volatilities,
            "spread_low": [STOCK_SPREAD_BPS[0]] * len(STOCKS),
            "spread_high": [STOCK_SPREAD_BPS[1]] * len(STOCKS),
        }
    )


def _bonds(plan: Plan, count: int) -> pl.DataFrame:
    rng = plan.rng("bonds")
    number = np.arange(count, dtype=np.int64)
    issuer, issue = number // BONDS_PER_ISSUER, number % BONDS_PER_ISSUER
    segment = _segment_of_issuer(rng, int(issuer[-1]) + 1)[issuer]
    low, high = np.array([s.prices for s in SEGMENTS])[segment].T
    spread_low, spread_high = np.array([s.spread_bps for s in SEGMENTS])[segment].T
    issuers = issuer_names(issuer)
    cusip = identifiers.with_cusip_digit(identifiers.invented_cusip_bases(issuer, issue))
    return pl.DataFrame(
        {
            "instrument_id": _joined("BOND_", np.strings.zfill((number + 1).astype(str), 6)),
            "name": _joined(issuers, " ", _coupon_and_maturity(rng, count)),
            "issuer": issuers,
            "cusip": identifiers.texts_of(cusip),
            "isin": identifiers.texts_of(identifiers.us_isin(cusip)),
            "segment": np.array([s.code for s in SEGMENTS])[segment],
            "is_stock": np.zeros(count, dtype=bool),
            "tick": np.full(count, BOND_TICK, dtype=np.int64),
            "places": np.full(count, 3, dtype=np.int64),
            "price": low + (high - low) * rng.random(count),
            "volatility": np.array([s.volatility for s in SEGMENTS])[segment],
            "spread_low": spread_low,
            "spread_high": spread_high,
        }
    )


def _segment_of_issuer(rng: np.random.Generator, issuers: int) -> npt.NDArray[np.int64]:
    """Segment index of each issuer: the shares hold to one issuer, in shuffled order."""
    place = (rng.permutation(issuers) + 0.5) / issuers
    bounds = np.cumsum([s.share for s in SEGMENTS])[:-1]
    return np.searchsorted(bounds, place).astype(np.int64)


def _coupon_and_maturity(rng: np.random.Generator, count: int) -> npt.NDArray[np.str_]:
    """Text such as `4.375% 2031-06-15`; coupons go in eighths of a percent."""
    eighths = rng.integers(8, 72, count)
    fraction = np.strings.zfill((eighths % 8 * 125).astype(str), 3)
    year = rng.integers(2027, 2056, count).astype(str)
    month = np.strings.zfill(rng.integers(1, 13, count).astype(str), 2)
    return _joined((eighths // 8).astype(str), ".", fraction, "% ", year, "-", month, "-15")


def _joined(*parts: npt.NDArray[np.str_] | str) -> npt.NDArray[np.str_]:
    text: npt.NDArray[np.str_] = np.asarray(parts[0])
    for part in parts[1:]:
        text = np.strings.add(text, part)
    return text
