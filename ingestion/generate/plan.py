"""What to generate: how much, for which days, from which seed, in which kind of market."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Literal
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from ingestion.generate.market import Market

BLOCK_ROWS = 200_000
MIN_SECURITIES = 50
MAX_FAULT_SHARE = 0.5
NEW_YORK = ZoneInfo("America/New_York")
REGULAR_OPEN = time(9, 30)
REGULAR_CLOSE = time(16, 0)

Scenario = Literal["volatility", "arbitrage", "risk"]


@dataclass(frozen=True)
class Plan:
    """Sizes are messages over all days together; `fault_share` is a share of trade messages.

    `quotes`, `trades`, `securities`, `orders`, `market_data` and `book_updates` are exact.
    `snapshot_minutes` is how often every trader's positions are sent (0: never), `posts` the mean
    number of posts per stock and day, `bars` whether vendor bars of the stocks are made. `scenario`
    bends the market for a while (scenarios.py). Raises ValueError when no market can be made.
    """

    seed: int = 7
    days: tuple[date, ...] = (date(2025, 10, 2), date(2025, 10, 3))
    quotes: int = 300_000
    trades: int = 200_000
    securities: int = 50_000
    orders: int = 0
    market_data: int = 0
    book_updates: int = 0
    snapshot_minutes: int = 0
    posts: float = 0
    bars: bool = False
    fault_share: float = 0.05
    scenario: Scenario | None = None
    market: Market = field(default_factory=Market)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"plan: seed must be 0 or more, not {self.seed}")
        if not self.days or list(self.days) != sorted(set(self.days)):
            raise ValueError("plan: days must be one or more dates, ascending, each once")
        for name in ("quotes", "trades", "orders", "market_data", "book_updates"):
            if getattr(self, name) < 0:
                raise ValueError(f"plan: {name} must be 0 or more, not {getattr(self, name)}")
        if self.snapshot_minutes < 0 or self.posts < 0:
            raise ValueError("plan: snapshot_minutes and posts must be 0 or more")
        if self.trades and self.quotes < len(self.days):
            raise ValueError("plan: trades follow quotes; ask for at least one quote a day")
        if self.securities < MIN_SECURITIES * len(self.days):
            raise ValueError(f"plan: securities must be {MIN_SECURITIES} or more for each day")
        if not 0 <= self.fault_share <= MAX_FAULT_SHARE:
            raise ValueError(f"plan: fault_share must lie in 0..{MAX_FAULT_SHARE}")

    def split(self, total: int) -> tuple[int, ...]:
        """`total` spread evenly over the days; the first days take the remainder."""
        share, rest = divmod(total, len(self.days))
        return tuple(share + (position < rest) for position in range(len(self.days)))

    def share_of(self, total: int, day: date) -> int:
        """How much of `total` falls on `day`."""
        return self.split(total)[self.position(day)]

    def position(self, day: date) -> int:
        """Index of `day` in the plan. Raises ValueError for a day that is not planned."""
        if day not in self.days:
            known = ", ".join(planned.isoformat() for planned in self.days)
            raise ValueError(f"generator: {day.isoformat()} is not in the plan (days: {known})")
        return self.days.index(day)

    def rng(self, *names: str) -> np.random.Generator:
        """An independent PCG64 generator per name, so that one part never shifts another."""
        entropy = [self.seed, *(crc32(name.encode()) for name in names)]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def session_us(day: date) -> tuple[int, int]:
    """Open and close of the New York regular session, microseconds since epoch UTC."""
    return _local_us(day, REGULAR_OPEN), _local_us(day, REGULAR_CLOSE)


def utc_us(day: date, at: time) -> int:
    """A UTC time of day as microseconds since epoch."""
    return int(datetime.combine(day, at, UTC).timestamp()) * 1_000_000


def _local_us(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * 1_000_000
