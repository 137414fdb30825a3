"""Security master (R2): what an instrument is, as of a moment."""

import polars as pl

from contracts.base import PRICE, Contract, Record, event_time_rules, field, rule
from contracts.codes import RejectCode


class Securities(Record):
    """Canonical columns of a security. One record states all attributes as of one time."""

    instrument_id: pl.String = field("instrumentId", "the instrument", never_null=True)
    security_name: pl.String = field("securityName", "name", never_null=True)
    cusip: pl.String = field("cusip", "CUSIP, nine characters", required=True)
    isin: pl.String = field("isin", "ISIN, twelve characters", required=True)
    market_segment: pl.String = field("marketSegment", "segment, e.g. HG, HY, AG", required=True)
    issuer: pl.String = field("issuer", "issuer", required=True)
    event_ts_ns: pl.Int64 = field(
        "asOf", "from when this holds", unit="ns since epoch UTC", kind="time"
    )
    currency: pl.String = field("currency", "ISO 4217 code")
    tick_size: PRICE = field("tickSize", "smallest price step", unit="currency")
    price_multiplier: PRICE = field("priceMultiplier", "notional = price x quantity x this")

    in_range, not_future = event_time_rules()
    positive_multiplier = rule(RejectCode.PRICE_NOT_POSITIVE, pl.col("price_multiplier") > 0)
    positive_tick = rule(RejectCode.PRICE_NOT_POSITIVE, pl.col("tick_size") > 0)


CONTRACT = Contract(
    dataset="securities",
    version=1,
    model=Securities,
    topic="reference.securities.v1",
    aliases=("master-security",),
    key="instrument_id",
    control_totals=(),
    partition_by_date=False,
    description="What an instrument is, as of a moment.",
    time_from_receipt=True,
)
