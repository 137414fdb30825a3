"""Trades (R3): one execution as its source reported it."""

import polars as pl

from contracts.base import (
    PRICE,
    QUANTITY,
    SESSION,
    Contract,
    Record,
    event_time_rules,
    field,
    known_side,
    positive,
    product_fits,
    rule,
)
from contracts.codes import RejectCode


class Trades(Record):
    """Canonical columns of a trade. Side is the initiator's: B bought, S sold."""

    trade_id: pl.String = field("tradeId", "the source's id of the trade", required=True)
    instrument_id: pl.String = field("instrumentId", "instrument traded", never_null=True)
    venue: pl.String = field("venue", "where it traded; null where the source has no venue")
    price: PRICE = field("price", "price as its source quotes it", never_null=True, unit="currency")
    quantity: QUANTITY = field("quantity", "quantity traded", never_null=True, unit="units")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "event time", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    side: pl.String = field("buySellIndicator", "B or S, the initiator's side", required=True)
    trader_id: pl.String = field("trader", "trader who dealt")
    sequence: pl.Int64 = field("sequence", "the venue's sequence number")
    conditions: pl.String = field("conditions", "sale conditions as the source writes them")
    is_suspicious: pl.Boolean = field("suspicious", "the vendor's own doubt about the print")
    status: pl.String = field("status", "NEW, CORRECT or CANCEL; null means NEW")
    ref_trade_id: pl.String = field("refTradeId", "the trade that this one corrects or cancels")
    version: pl.Int64 = field("version", "version of the trade, highest wins")
    session_id: pl.String = field("sessionId", SESSION)

    in_range, not_future = event_time_rules()
    positive_price = positive(RejectCode.PRICE_NOT_POSITIVE, "price")
    positive_quantity = positive(RejectCode.QTY_NOT_POSITIVE, "quantity")
    product = product_fits("price", "quantity")
    side_known = known_side("side", ("B", "S"))
    status_known = rule(
        RejectCode.SCHEMA_TYPE, pl.col("status").is_in(["NEW", "CORRECT", "CANCEL"])
    )


CONTRACT = Contract(
    dataset="trades",
    version=2,
    model=Trades,
    topic="market.trades.v1",
    aliases=("trax-trades", "trade-events"),
    key="instrument_id",
    control_totals=("quantity",),
    partition_by_date=True,
    description="One execution as its source reported it.",
)
