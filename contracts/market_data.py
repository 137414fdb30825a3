"""Exchange market data (R5): last price, best bid and offer, and volume in one message."""

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
)
from contracts.codes import RejectCode


class MarketData(Record):
    """Canonical columns of a market data message: a quote of the venue and a last price."""

    instrument_id: pl.String = field("symbol", "instrument traded", never_null=True)
    venue: pl.String = field("exchange", "whose market it is", never_null=True)
    last_price: PRICE = field("price", "price of the last trade", never_null=True, unit="currency")
    bid_price: PRICE = field("bid_price", "bid; null or 0 withdraws the side", unit="currency")
    offer_price: PRICE = field("ask_price", "offer; null or 0 withdraws the side", unit="currency")
    bid_size: QUANTITY = field("bid_size", "size at the bid", unit="units")
    offer_size: QUANTITY = field("ask_size", "size at the offer", unit="units")
    volume: QUANTITY = field("volume", "volume of this message, not cumulative", unit="units")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "event time", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    sequence: pl.Int64 = field("sequence", "the venue's sequence number")

    in_range, not_future = event_time_rules()
    positive_last = positive(RejectCode.PRICE_NOT_POSITIVE, "last_price")
    price_not_negative = not_negative(RejectCode.PRICE_NOT_POSITIVE, "bid_price", "offer_price")
    size_not_negative = not_negative(RejectCode.QTY_NEGATIVE, "bid_size", "offer_size", "volume")


CONTRACT = Contract(
    dataset="market_data",
    version=1,
    model=MarketData,
    topic="market.data.v1",
    aliases=("market_data",),
    key="instrument_id",
    control_totals=("volume",),
    partition_by_date=True,
    description="Last price, best bid and offer, and volume of an instrument on one venue.",
    epoch_unit="ms",
)
