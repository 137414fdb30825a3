"""The endless stream: a day again and again, each cycle at another level (analytics.md 23.2).

Cycle 0 is the base day. Cycle c has the same messages later in time, with prices at level F_c, a
jitter on each trade, ids that carry the cycle (`T123-C7`), and a session of its own (`C7`), so
that references, gaps and positions start anew. Everything about a cycle follows from the plan and
its number: each can be made again alone.

The session is the cycle: posts from outside it are left out. Positions and bars are sums over the
base day's trades and would contradict the trades of a cycle, so they are not part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate.clock import SECOND_US, Floats
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.stream import DATASETS, Block, blocks, truth_of
from ingestion.generate.trades import trade_day
from ingestion.generate.universe import UNIT, universe

ONCE = ("securities",)  # sent before the first cycle, and never again
CYCLIC = tuple(name for name in DATASETS if name not in (*ONCE, "positions", "bars"))

PAUSE_US = SECOND_US  # between two cycles
LEVEL_STEP = (0.9, 1.1)
HIGHEST, LOWERING = 1.2, 0.95
LOWEST, RAISING = 0.8, 1.05
JITTER = 5e-4
RAMP_US = 60 * SECOND_US

PRICES = {
    "quotes": ("bid_price", "offer_price", "price"),
    "trades": ("price",),
    "market_data": ("last_price", "bid_price", "offer_price"),
    "book_updates": ("price",),
    "orders": ("price",),
}
IDS = {
    "trades": ("trade_id", "ref_trade_id"),
    "orders": ("msg_id", "order_id"),
    "book_updates": ("order_id",),
    "posts": ("post_id",),
}
SESSIONS = ("quotes", "trades")  # whose contract has a session
# An order keeps its price from its arrival to its end, so the level cannot glide under it.
STEADY = ("orders", "book_updates")
TRADE_NUMBER_AT = len("TRD_YYYYMMDD_")


@dataclass(frozen=True)
class Cycle:
    """One pass over the base day.

    `level` is what prices are multiplied by, `before` the level of the pass before it. With `ramp`
    the one turns into the other over a minute. `later_ms` moves the whole stream in time.
    """

    plan: Plan
    number: int
    ramp: bool = False
    later_ms: int = 0

    @property
    def day(self) -> date:
        """The base day."""
        return self.plan.days[0]

    @property
    def level(self) -> float:
        """F_c."""
        return level(self.plan, self.number)

    @property
    def shift_us(self) -> int:
        """How much later than in the base day everything happens."""
        opened, closed = session_us(self.day)
        return self.number * (closed - opened + PAUSE_US) + self.later_ms * 1000

    @property
    def opens_us(self) -> int:
        """When the cycle begins, us since epoch UTC."""
        return session_us(self.day)[0] + self.shift_us

    def blocks(self, dataset: str) -> Iterator[Block]:
        """A dataset's messages of this cycle in arrival order."""
        first = 0
        for block in blocks(self.plan, dataset, self.day):
            bent = self.bend(dataset, block.frame)
            yield Block(block.form, bent, first)
            first += bent.height

    def truth(self) -> pl.DataFrame:
        """`stream.truth` of this cycle, with its number as column `cycle`."""
        told = truth_of(self.plan, (self.day,), lambda frame: self.bend("trades", frame))
        return told.with_columns(cycle=pl.lit(self.number, pl.Int64))

    def bend(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of the base day as this cycle has them, row by row.

        Raises ValueError for a dataset that the cycle does not have.
        """
        if dataset not in (CYCLIC if self.number else (*ONCE, *CYCLIC)):
            raise ValueError(f"{dataset} is not part of cycle {self.number} of an endless stream")
        if dataset == "posts":
            opened, closed = session_us(self.day)
            frame = frame.filter(pl.col("event_us").is_between(opened, closed, closed="left"))
        if self.number:
            frame = self._numbered(dataset, self._priced(dataset, frame))
        if dataset in SESSIONS:
            frame = frame.with_columns(session_id=pl.lit(f"C{self.number}"))
        return frame.with_columns(
            event_us=pl.col("event_us") + self.shift_us,
            recv_ms=pl.col("recv_ms") + self.shift_us // 1000,
        )

    def _numbered(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Ids that no other cycle has, and sequence numbers beyond those of the cycles before."""
        suffix = pl.lit(f"-C{self.number}")
        ids = [name for name in IDS.get(dataset, ()) if name in frame.columns]
        frame = frame.with_columns(pl.concat_str(pl.col(name), suffix).alias(name) for name in ids)
        if "sequence" not in frame.columns:
            return frame
        stride = self.plan.share_of(getattr(self.plan, dataset), self.day) + 1
        return frame.with_columns(sequence=pl.col("sequence") + self.number * stride)

    def _priced(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Prices at the cycle's level, on the instrument's tick."""
        if dataset not in PRICES:
            return frame
        known = self._base(dataset, frame)
        tick, prices = known["tick"], [n for n in PRICES[dataset] if n in frame.columns]
        if dataset == "orders":
            # All prices of a book move by the same ticks, so that it keeps its shape.
            moved = ((self.level - 1) * known["opening"] / tick).round().cast(pl.Int64) * tick
            return frame.with_columns(_positive(frame[name] + moved, tick) for name in prices)
        factor = self._factors(dataset, known)
        frame = frame.with_columns(_on_tick(frame[name], factor, tick) for name in prices)
        if "offer_price" not in frame.columns:
            return frame
        apart = pl.max_horizontal("offer_price", pl.col("bid_price") + tick)
        offered = pl.col("offer_price").is_not_null()
        return frame.with_columns(offer_price=pl.when(offered).then(apart))

    def _base(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        """What the rows are about, whatever a fault made of them.

        Columns: event_us, tick and opening (units of 0.0001), and for trades their number.
        """
        facts = _instruments(self.plan)
        if dataset != "trades":
            named = frame.select("instrument_id", "event_us")
            return named.join(facts, on="instrument_id", how="left", maintain_order="left")
        number = frame["trade_id"].str.slice(TRADE_NUMBER_AT).cast(pl.Int64)
        happened = trade_day(self.plan, self.day).select("active", "event_us")[number - 1]
        traded = facts[universe(self.plan).active[happened["active"]]]
        return traded.hstack([happened["event_us"], number.alias("number")])

    def _factors(self, dataset: str, known: pl.DataFrame) -> pl.Series:
        factor = np.full(known.height, self.level)
        if self.ramp and dataset not in STEADY:
            before = level(self.plan, self.number - 1)
            passed = known["event_us"].to_numpy() - session_us(self.day)[0]
            factor = before + (self.level - before) * np.clip(passed / RAMP_US, 0, 1)
        if dataset == "trades":
            # By the trade, not the message: a duplicate stays equal to its original.
            factor *= _jitters(self.plan, self.number)[known["number"].to_numpy()]
        return pl.Series(factor)


@lru_cache(maxsize=64)
def level(plan: Plan, number: int) -> float:
    """F of a cycle, within 0.8 and 1.2: a product of steps, pulled back whenever it leaves them."""
    reached = 1.0
    for cycle in range(1, number + 1):
        reached *= plan.rng("organic", "level", str(cycle)).uniform(*LEVEL_STEP)
        while reached > HIGHEST:
            reached *= LOWERING
        while reached < LOWEST:
            reached *= RAISING
    return reached


@lru_cache(maxsize=2)
def _jitters(plan: Plan, number: int) -> Floats:
    """Factor on the price of each trade of a cycle, by the trade's number in its day."""
    count = plan.share_of(plan.trades, plan.days[0]) + 1
    return plan.rng("organic", "jitter", str(number)).uniform(1 - JITTER, 1 + JITTER, count)


@lru_cache(maxsize=2)
def _instruments(plan: Plan) -> pl.DataFrame:
    """instrument_id, tick and opening price (units of 0.0001) of all that trade."""
    opening = (pl.col("price") * UNIT).round().cast(pl.Int64)
    return universe(plan).frame.select("instrument_id", "tick", opening=opening)


def _on_tick(price: pl.Series, factor: pl.Series, tick: pl.Series) -> pl.Series:
    """Price times factor to the nearest tick; a sign, which only a fault has, is kept."""
    ticks = (price.abs() * factor / tick).round().cast(pl.Int64)
    return (_positive(ticks * tick, tick) * price.sign()).alias(price.name)


def _positive(price: pl.Series, tick: pl.Series) -> pl.Series:
    """At least one tick."""
    least = pl.when(price < tick).then(tick).otherwise(price)
    return pl.select(least.alias(price.name)).to_series()
