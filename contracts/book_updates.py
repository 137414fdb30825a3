"""Order-book updates (R7): one order that enters or leaves a venue's book."""

import polars as pl

from contracts.base import (
    PRICE,
    QUANTITY,
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


class BookUpdates(Record):
    """Canonical columns of an order-book update."""

    instrument_id: pl.String = field("symbol", "instrument of the book", never_null=True)
    venue: pl.String = field("exchange", "whose book it is", never_null=True)
    side: pl.String = field("side", "BUY or SELL", never_null=True)
    order_type: pl.String = field("order_type", "LIMIT, MARKET or CANCEL", never_null=True)
    price: PRICE = field("price", "price; a LIMIT has one", unit="currency")
    quantity: QUANTITY = field("quantity", "quantity ordered", never_null=True, unit="units")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "event time", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    order_id: pl.String = field("order_id", "the order that the update speaks of")
    sequence: pl.Int64 = field("sequence", "the venue's sequence number")

    in_range, not_future = event_time_rules()
    type_known = rule(
        RejectCode.UNKNOWN_MSG_TYPE, pl.col("order_type").is_in(["LIMIT", "MARKET", "CANCEL"])
    )
    price_given = rule(
        RejectCode.SCHEMA_MISSING_FIELD,
        (pl.col("order_type") != "LIMIT") | pl.col("price").is_not_null(),
        "price is missing",
    )
    positive_price = positive(RejectCode.PRICE_NOT_POSITIVE, "price")
    positive_quantity = positive(RejectCode.QTY_NOT_POSITIVE, "quantity")
    product = product_fits("price", "quantity")
    side_known = known_side("side", ("BUY", "SELL"))


CONTRACT = Contract(
    dataset="book_updates",
    version=1,
    model=BookUpdates,
    topic="market.book.v1",
    aliases=("order_book_updates",),
    key="instrument_id",
    control_totals=("quantity",),
    partition_by_date=True,
    description="One order that enters or leaves a venue's book.",
    epoch_unit="ms",
)
