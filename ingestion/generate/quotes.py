"""Dealer quotes: two-sided, in ticks, with spreads inside the bounds of the segment."""

from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate import encode, market
from ingestion.generate.market import Floats, Ints
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import UNIT, Universe, universe

DEALERS = tuple(f"DEALER_{number:03d}" for number in range(1, 13))
VENUES = ("NYSE", "NASDAQ", "BATS")
WITHDRAWN_SHARE = 0.01
SPREAD_SIGMA = 0.35
MAX_SKEW = 0.2  # of the half spread, so that dealers rarely cross each other
BOND_LOT, STOCK_LOT = 100_000, 100

KEYS = [
    "instrumentId",
    "dealerId",
    "bidPrice",
    "offerPrice",
    "bidSize",
    "offerSize",
    "timestamp",
    "venue",
    "sequence",
]


@lru_cache(maxsize=1)
def quote_day(plan: Plan, day: date) -> pl.DataFrame:
    """Quotes of one day in event order.

    Columns: row (of the universe), event_us, dealer (index), bid, offer (units of 0.0001),
    bid_size, offer_size, withdrawn (0 none, 1 bid, 2 offer), sequence (per dealer, from 1).
    """
    known = universe(plan)
    rng = plan.rng("quotes", day.isoformat())
    count = plan.split(plan.quotes)[plan.position(day)]
    instrument = rng.choice(len(known.active), count, p=known.weights)
    row = known.active[instrument]
    stock = known.frame["is_stock"].to_numpy()[row]
    event_us = _event_times(day, market.diurnal(rng, count), stock)
    order = np.argsort(event_us, kind="stable")
    instrument, row, stock, event_us = instrument[order], row[order], stock[order], event_us[order]
    opened, closed = session_us(day)
    mid = market.mids(plan, day, known, instrument, (event_us - opened) / (closed - opened))
    bid, offer = _prices(rng, known, row, mid)
    dealer = rng.integers(0, len(DEALERS), count)
    return pl.DataFrame(
        {
            "row": row,
            "event_us": event_us,
            "dealer": dealer,
            "bid": bid,
            "offer": offer,
            "bid_size": _sizes(rng, stock),
            "offer_size": _sizes(rng, stock),
            "withdrawn": _withdrawn(rng, count),
            "sequence": sequence_within(dealer),
        }
    )


def quote_messages(plan: Plan, day: date) -> pl.DataFrame:
    """The day's messages in arrival order: key, value (binary), recv_ts_ms."""
    quotes = quote_day(plan, day)
    delay = market.arrival_delay_ms(plan.rng("quotes", "arrival", day.isoformat()), len(quotes))
    recv = market.received_ms(quotes["event_us"].to_numpy(), delay)
    wire = _wire(quotes, universe(plan))
    messages = wire.select(
        key=pl.col("key").cast(pl.Binary),
        value=encode.json_text(KEYS).cast(pl.Binary),
        recv_ts_ms=pl.Series(recv),
    )
    return messages[market.arrival_order(recv)]


def sequence_within(group: Ints) -> Ints:
    """1, 2, 3 ... within each group, in the order given."""
    frame = pl.DataFrame({"group": group})
    return frame.select(pl.int_range(1, pl.len() + 1).over("group")).to_series().to_numpy()


def _event_times(day: date, u: Floats, stock: npt.NDArray[np.bool_]) -> Ints:
    """Microseconds for stocks, whole milliseconds for bonds: both precisions are on the wire."""
    opened, closed = session_us(day)
    event = opened + (u * (closed - opened)).astype(np.int64)
    return np.where(stock, event, event // 1000 * 1000)


def _prices(rng: np.random.Generator, known: Universe, row: Ints, mid: Floats) -> tuple[Ints, Ints]:
    """Bid and offer in units of 0.0001, on the tick, the spread within its bounds in bps."""
    columns = known.frame.select("tick", "spread_low", "spread_high")[row]
    tick, low, high = (columns[name].to_numpy() for name in columns.columns)
    middle = mid * UNIT / tick
    wanted = np.sqrt(low * high) * np.exp(SPREAD_SIGMA * rng.standard_normal(len(row)))
    # The bounds hold for the quote's own mid, which skew and rounding move off the market's.
    away = 1 + MAX_SKEW / 2 * high / 1e4 * middle
    least = np.ceil(low / 1e4 * (middle + away))
    most = np.maximum(np.floor(high / 1e4 * (middle - away)), least)
    spread = np.clip(np.ceil(wanted / 1e4 * middle), least, most)
    skew = MAX_SKEW * (2 * rng.random(len(row)) - 1) * spread / 2
    bid = np.rint(middle + skew - spread / 2).astype(np.int64)
    return bid * tick, (bid + spread.astype(np.int64)) * tick


def _sizes(rng: np.random.Generator, stock: npt.NDArray[np.bool_]) -> Ints:
    """0.1-5 MM face for bonds, 1-50 round lots for stocks."""
    lots = np.clip(np.rint(rng.lognormal(np.log(5.0), 1.0, len(stock))), 1, 50).astype(np.int64)
    return lots * np.where(stock, STOCK_LOT, BOND_LOT)


def _withdrawn(rng: np.random.Generator, count: int) -> Ints:
    side = rng.integers(1, 3, count)
    return np.where(rng.random(count) < WITHDRAWN_SHARE, side, 0)


def _wire(quotes: pl.DataFrame, known: Universe) -> pl.DataFrame:
    """JSON text of every value; a withdrawn side has the price null and the size 0."""
    facts = known.frame.select("instrument_id", "is_stock", "places")[quotes["row"]]
    frame = quotes.hstack(facts)
    places, stock = pl.col("places"), pl.col("is_stock")
    no_bid, no_offer = pl.col("withdrawn") == 1, pl.col("withdrawn") == 2
    width = pl.when(stock).then(encode.MICROSECOND_TEXT).otherwise(encode.MILLISECOND_TEXT)
    dealers, venues = pl.Series(DEALERS), pl.Series(VENUES)
    dealer = frame["dealer"]
    null = pl.lit("null")
    return frame.select(
        key="instrument_id",
        instrumentId=encode.quoted(pl.col("instrument_id")),
        dealerId=encode.quoted(pl.lit(dealers[dealer])),
        bidPrice=pl.when(no_bid).then(null).otherwise(encode.decimal_text(pl.col("bid"), places)),
        offerPrice=pl.when(no_offer)
        .then(null)
        .otherwise(encode.decimal_text(pl.col("offer"), places)),
        bidSize=pl.when(no_bid).then(0).otherwise("bid_size").cast(pl.String),
        offerSize=pl.when(no_offer).then(0).otherwise("offer_size").cast(pl.String),
        timestamp=encode.time_text(pl.col("event_us"), width),
        venue=pl.when(stock).then(encode.quoted(pl.lit(venues[dealer % len(VENUES)]))),
        sequence=pl.col("sequence").cast(pl.String),
    )
