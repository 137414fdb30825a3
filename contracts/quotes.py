"""Dealer quotes (R1): two-sided, or one side at a time."""

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
    not_negative,
)
from contracts.codes import RejectCode


class Quotes(Record):
    """Canonical columns of a quote.

    A two-sided message replaces both sides of its dealer; a side whose price or size is missing,
    null or zero is withdrawn. A message with `side` touches that side only.
    """

    instrument_id: pl.String = field("instrumentId", "instrument quoted", never_null=True)
    dealer_id: pl.String = field("dealerId", "who quotes", never_null=True)
    venue: pl.String = field("venue", "where it is quoted; null where the source has no venue")
    bid_price: PRICE = field("bidPrice", "bid; null or 0 withdraws the side", unit="currency")
    offer_price: PRICE = field("offerPrice", "offer; null or 0 withdraws the side", unit="currency")
    bid_size: QUANTITY = field("bidSize", "size at the bid", unit="units")
    offer_size: QUANTITY = field("offerSize", "size at the offer", unit="units")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "event time", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    sequence: pl.Int64 = field("sequence", "the source's sequence number")
    quote_type: pl.String = field("quoteType", "F firm, I indicative; null means firm")
    side: pl.String = field("side", "BID or OFFER in the one-sided form")
    action: pl.String = field("action", "UPDATE or DELETE in the one-sided form")
    price: PRICE = field("price", "price in the one-sided form", unit="currency")
    size: QUANTITY = field("size", "size in the one-sided form", unit="units")
    level: pl.Int64 = field("level", "book level in the one-sided form")
    session_id: pl.String = field("sessionId", SESSION)

    in_range, not_future = event_time_rules()
    price_not_negative = not_negative(
        RejectCode.PRICE_NOT_POSITIVE, "bid_price", "offer_price", "price"
    )
    size_not_negative = not_negative(RejectCode.QTY_NEGATIVE, "bid_size", "offer_size", "size")
    side_known = known_side("side", ("BID", "OFFER"))


CONTRACT = Contract(
    dataset="quotes",
    version=2,
    model=Quotes,
    topic="market.quotes.v1",
    aliases=("inventory-rows",),
    key="instrument_id",
    control_totals=("bid_size", "offer_size"),
    partition_by_date=True,
    description="Dealer quotes, two-sided or one side at a time.",
)
