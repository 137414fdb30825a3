"""The market's settings: who trades where, at what price, how wildly and how often.

Defaults are analytics.md 23.3. A YAML file with any of these names replaces them.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Bounds = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
# What is sent in units of 0.0001; anything finer would be lost.
Exact = Annotated[float, Field(ge=0.0001, multiple_of=0.0001)]
Share = Annotated[float, Field(ge=0, le=1)]


class MarketError(ValueError):
    """A market file cannot be read or holds a wrong value; the message names it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stock(_Part):
    """A share: `cusip` without its check digit, price in USD, annual volatility."""

    symbol: str
    name: str
    cusip: Annotated[str, Field(pattern=r"^[0-9A-Z]{8}$")]
    price: Positive
    volatility: Positive


class Future(_Part):
    """An energy future: price in USD, tick in USD, annual volatility, units per contract.

    `venue` is where its one order book is.
    """

    symbol: str
    name: str
    price: Positive
    tick: Exact
    volatility: Positive
    multiplier: Exact
    venue: str = "NYMEX"


class Segment(_Part):
    """A bond segment: its share of the bonds, price per 100, dealer spread in bps, volatility."""

    code: str
    share: Share
    prices: Bounds
    spread_bps: Bounds
    volatility: Positive


def _stock(symbol: str, name: str, cusip: str, price: float, volatility: float) -> Stock:
    return Stock(symbol=symbol, name=name, cusip=cusip, price=price, volatility=volatility)


def _future(
    symbol: str,
    name: str,
    price: float,
    tick: float,
    volatility: float,
    multiplier: float,
    venue: str = "NYMEX",
) -> Future:
    return Future(
        symbol=symbol, name=name, price=price, tick=tick, volatility=volatility,
        multiplier=multiplier, venue=venue,
    )  # fmt: skip


def _segment(code: str, share: float, prices: Bounds, spread: Bounds, volatility: float) -> Segment:
    return Segment(code=code, share=share, prices=prices, spread_bps=spread, volatility=volatility)


STOCKS = (
    _stock("AAPL", "Apple Inc", "03783310", 175.0, 0.25),
    _stock("GOOGL", "Alphabet Inc", "02079K30", 140.0, 0.30),
    _stock("MSFT", "Microsoft Corp", "59491810", 350.0, 0.25),
    _stock("AMZN", "Amazon.com Inc", "02313510", 140.0, 0.35),
    _stock("TSLA", "Tesla Inc", "88160R10", 250.0, 0.50),
    _stock("NVDA", "NVIDIA Corp", "67066G10", 450.0, 0.40),
    _stock("META", "Meta Platforms Inc", "30303M10", 320.0, 0.35),
    _stock("NFLX", "Netflix Inc", "64110L10", 450.0, 0.40),
)
FUTURES = (
    _future("CL", "WTI Crude Oil Front Month", 75.0, 0.01, 0.35, 1000),
    _future("BZ", "Brent Crude Oil Front Month", 79.0, 0.01, 0.33, 1000, "ICE"),
    _future("NG", "Henry Hub Natural Gas Front Month", 3.2, 0.001, 0.55, 10000),
    _future("RB", "RBOB Gasoline Front Month", 2.2, 0.0001, 0.38, 42000),
    _future("HO", "NY Harbor ULSD Front Month", 2.6, 0.0001, 0.36, 42000),
    _future("GO", "Low Sulphur Gasoil Front Month", 720.0, 0.25, 0.36, 100, "ICE"),
)
SEGMENTS = (
    _segment("HG", 0.55, (85.0, 140.0), (5.0, 20.0), 0.06),
    _segment("AG", 0.20, (90.0, 140.0), (5.0, 15.0), 0.04),
    _segment("HY", 0.25, (60.0, 120.0), (20.0, 50.0), 0.12),
)


class Market(_Part):
    """Everything about the market that is not a size.

    There are `dealers` in all; `stock_dealers` of them make a market in each stock, 8 or more in
    each bond. `stock_share` is the stocks' share of quotes and trades. `sector_loading` is beta of
    the common factor of a sector, so that the diffusion of two of its members correlates by its
    square. `branching` and `decay` (per second) shape the Hawkes arrivals, `same_sign` is
    the chance that a trade is on the side of the one before. `jump_size` is the standard deviation
    of a jump, log return; of instruments calmer than 25 % a year it is smaller. `impact` is the
    permanent impact of a trade of median size as a share of the spread. `sentiment_effect` is
    gamma: a day whose posts score S makes the log volatility of the next day gamma * S higher.
    """

    stocks: tuple[Stock, ...] = STOCKS
    futures: tuple[Future, ...] = FUTURES
    segments: tuple[Segment, ...] = SEGMENTS
    venues: tuple[str, ...] = ("NYSE", "NASDAQ", "BATS")
    dealers: Annotated[int, Field(ge=1, le=999)] = 12
    traders: Annotated[int, Field(ge=1, le=999)] = 20
    stock_spread_bps: Bounds = (5.0, 10.0)
    stock_dealers: Annotated[int, Field(ge=1, le=999)] = 6
    stock_share: Share = 0.5
    active_bonds: Annotated[int, Field(ge=0)] = 300
    sector_loading: Share = 0.85
    volatility_of_volatility: Annotated[float, Field(ge=0)] = 0.3
    volatility_half_life_minutes: Positive = 30.0
    jumps_per_day: Annotated[float, Field(ge=0)] = 0.5
    jump_size: Annotated[float, Field(ge=0)] = 0.01
    branching: Annotated[float, Field(ge=0, lt=1)] = 0.7
    decay: Positive = 5.0
    same_sign: Share = 0.65
    touch_share: Share = 0.88
    inside_share: Share = 0.08
    block_share: Share = 0.01
    impact: Annotated[float, Field(ge=0)] = 0.1
    one_sided_share: Share = 0.02
    withdrawn_share: Share = 0.01
    order_trade_share: Annotated[float, Field(ge=0, le=0.3)] = 0.02
    order_modify_share: Annotated[float, Field(ge=0, le=0.05)] = 0.03
    sentiment_of_return: float = 0.2
    sentiment_effect: float = 0.1


def load_market(path: Path) -> Market:
    """A market from a YAML file; names it does not hold keep their defaults.

    Raises MarketError with every wrong name and value.
    """
    try:
        return Market.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError) as error:
        raise MarketError(f"market file {path}: {error}") from error
    except ValidationError as error:
        wrong = "\n  ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']} (given: {problem['input']!r})"
            for problem in error.errors()
        )
        raise MarketError(f"market file {path}:\n  {wrong}") from None
