"""L3 order messages (R4): every event of an order book, trades among them."""

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

MSG_TYPES = ("T", "A", "C", "M", "F", "R")

_type = pl.col("msg_type")
_sets_price = _type.is_in(["T", "A", "M"])


class Orders(Record):
    """Canonical columns of an order message.

    Message types: T trade, A add, C cancel, M modify, F fill of a resting order, R clear book.
    Only T goes to the candles (analytics.md 23.1). The side of a trade is its aggressor's, null
    where that is not known.
    """

    msg_id: pl.String = field("msgId", "the source's id of the message", required=True)
    instrument_id: pl.String = field("instrumentId", "instrument of the book", never_null=True)
    venue: pl.String = field("venue", "whose book it is; null where the source has no venue")
    order_id: pl.String = field("orderId", "the order that the message speaks of")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "event time", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    price: PRICE = field("price", "price; a T, A or M has one", unit="currency")
    quantity: QUANTITY = field("volume", "quantity of the message", never_null=True, unit="units")
    side: pl.String = field("side", "B or S; an A or M has one", required=True)
    msg_type: pl.String = field(
        "msgType", "T trade, A add, C cancel, M modify, F fill, R clear book", never_null=True
    )
    sequence: pl.Int64 = field("sequence", "the venue's sequence number", required=True)

    in_range, not_future = event_time_rules()
    type_known = rule(RejectCode.UNKNOWN_MSG_TYPE, _type.is_in(MSG_TYPES))
    price_given = rule(
        RejectCode.SCHEMA_MISSING_FIELD,
        ~_sets_price | pl.col("price").is_not_null(),
        "price is missing",
    )
    side_given = rule(
        RejectCode.SCHEMA_MISSING_FIELD,
        ~_type.is_in(["A", "M"]) | pl.col("side").is_not_null(),
        "side is missing",
    )
    positive_price = positive(RejectCode.PRICE_NOT_POSITIVE, "price")
    positive_quantity = rule(RejectCode.QTY_NOT_POSITIVE, ~_sets_price | (pl.col("quantity") > 0))
    quantity_not_negative = rule(RejectCode.QTY_NEGATIVE, _sets_price | (pl.col("quantity") >= 0))
    product = product_fits("price", "quantity")
    side_known = known_side("side", ("B", "S"))


CONTRACT = Contract(
    dataset="orders",
    version=1,
    model=Orders,
    topic="market.orders.v1",
    aliases=(),
    key="instrument_id",
    control_totals=("quantity",),
    partition_by_date=True,
    description="L3 order messages: every event of an order book, trades among them.",
    epoch_unit="ms",
)
