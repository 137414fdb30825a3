"""Vendor bars (R9): one-minute bars of the stocks, over all venues, as a vendor computes them.

A vendor sees the true tape: bars are made of the sound trades, whatever faults the trade messages
carry. A minute without a trade has no bar.
"""

from collections.abc import Iterator
from datetime import date

import polars as pl

from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.plan import BLOCK_ROWS, Plan
from ingestion.generate.trades import trade_day
from ingestion.generate.universe import universe

VWAP_SCALE = 9
FORM = Form(
    "bars",
    scales={
        **dict.fromkeys(("open", "high", "low", "close"), PRICE_SCALE),
        "vwap": VWAP_SCALE,
    },
    time="epoch_ms",
)
MINUTE_US = 60_000_000
PUBLISHED_AFTER_MS = 2_000


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's bars by minute, then stock, each two seconds after its minute's end.

    Prices in units of 0.0001, vwap (sum of price x quantity over sum of quantity, rounded half up)
    in units of 0.000000001, volume in shares. Nothing where the plan asks for no bars.
    """
    if plan.bars:
        bars = minute_bars(trade_day(plan, day).filter(pl.col("active") < universe(plan).stocks))
        yield from bars.iter_slices(BLOCK_ROWS)


def minute_bars(trades: pl.DataFrame) -> pl.DataFrame:
    """Bars of `trades` (trades.trade_day), which are in event order."""
    # Above any sum that a minute can reach, an integer product would silently wrap.
    notional = (pl.col("price").cast(pl.Int128) * pl.col("quantity")).sum()
    volume = pl.col("quantity").sum()
    shift = 10 ** (VWAP_SCALE - PRICE_SCALE)
    start = pl.col("event_us") // MINUTE_US * MINUTE_US
    return (
        trades.group_by(event_us=start, active="active", maintain_order=True)
        .agg(
            pl.col("instrument_id").first(),
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=volume,
            vwap=((2 * shift * notional + volume) // (2 * volume)).cast(pl.Int64),
            trade_count=pl.len().cast(pl.Int64),
        )
        .sort("event_us", "active")
        .select(
            "instrument_id",
            pl.lit("1m").alias("interval"),
            "event_us",
            *("open", "high", "low", "close", "volume", "vwap", "trade_count"),
            recv_ms=(pl.col("event_us") + MINUTE_US) // 1000 + PUBLISHED_AFTER_MS,
        )
    )
