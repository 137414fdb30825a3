"""Security master (R2): what an instrument is, as of a moment."""

import polars as pl

from contracts.base import PRICE, Contract, Record, event_time_rules, field, rule
from contracts.codes import RejectCode

STATUSES = ("ACTIVE", "INACTIVE", "SUSPENDED", "DELISTED", "MATURED", "DELETED")


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
    ticker: pl.String = field("ticker", "symbol it is written about and traded by; may change")
    figi: pl.String = field("figi", "FIGI, twelve characters")
    venue: pl.String = field("venue", "venue of the primary listing")
    calendar: pl.String = field("calendar", "trading calendar as its source names it")
    status: pl.String = field(
        "status", "ACTIVE, INACTIVE, SUSPENDED, DELISTED, MATURED or DELETED; null means ACTIVE"
    )
    allow_negative_price: pl.Boolean = field(
        "allowNegativePrice", "may it trade at zero or below, like power and spreads"
    )

    in_range, not_future = event_time_rules()
    positive_multiplier = rule(RejectCode.PRICE_NOT_POSITIVE, pl.col("price_multiplier") > 0)
    positive_tick = rule(RejectCode.PRICE_NOT_POSITIVE, pl.col("tick_size") > 0)
    status_known = rule(RejectCode.SCHEMA_TYPE, pl.col("status").is_in(STATUSES))


CONTRACT = Contract(
    dataset="securities",
    version=2,
    model=Securities,
    topic="reference.securities.v1",
    aliases=("master-security",),
    key="instrument_id",
    control_totals=(),
    partition_by_date=False,
    description="What an instrument is, as of a moment.",
    time_from_receipt=True,
)
