"""Vendor bars (R9): OHLCV of a window as someone else computed it."""

import polars as pl

from contracts.base import (
    PRICE,
    QUANTITY,
    Contract,
    Record,
    event_time_rules,
    field,
    not_negative,
    positive,
    product_fits,
    rule,
)
from contracts.codes import RejectCode

INTERVALS = ("1s", "10s", "1m", "5m", "1h", "1d")


class Bars(Record):
    """Canonical columns of a bar. The event time is the start of its half-open window."""

    instrument_id: pl.String = field("symbol", "instrument traded", never_null=True)
    venue: pl.String = field("exchange", "where it traded; null for all venues")
    interval: pl.String = field("interval", "1s, 10s, 1m, 5m, 1h or 1d", never_null=True)
    event_ts_ns: pl.Int64 = field(
        "window_start",
        "start of the window",
        never_null=True,
        unit="ns since epoch UTC",
        kind="time",
    )
    open: PRICE = field("open", "price of the first trade", never_null=True, unit="currency")
    high: PRICE = field("high", "highest price", never_null=True, unit="currency")
    low: PRICE = field("low", "lowest price", never_null=True, unit="currency")
    close: PRICE = field("close", "price of the last trade", never_null=True, unit="currency")
    volume: QUANTITY = field("volume", "quantity traded", never_null=True, unit="units")
    vwap: PRICE = field("vwap", "volume weighted average price", unit="currency")
    trade_count: pl.Int64 = field("trade_count", "number of trades")

    in_range, not_future = event_time_rules()
    interval_known = rule(
        RejectCode.SCHEMA_TYPE,
        pl.col("interval").is_in(INTERVALS),
        "not one of " + ", ".join(INTERVALS),
    )
    positive_prices = positive(
        RejectCode.PRICE_NOT_POSITIVE, "open", "high", "low", "close", "vwap"
    )
    counts_not_negative = not_negative(RejectCode.QTY_NEGATIVE, "volume", "trade_count")
    possible = rule(
        RejectCode.SCHEMA_TYPE,
        (pl.col("low") <= pl.min_horizontal("open", "close"))
        & (pl.col("high") >= pl.max_horizontal("open", "close")),
        "an impossible bar: open and close lie within low and high",
    )
    product = product_fits("high", "volume")


CONTRACT = Contract(
    dataset="bars",
    version=1,
    model=Bars,
    topic="market.bars.v1",
    aliases=(),
    key="instrument_id",
    control_totals=("volume",),
    partition_by_date=True,
    description="OHLCV of a window as a vendor computed it.",
    epoch_unit="ms",
)
