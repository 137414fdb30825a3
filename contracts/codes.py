"""Reject codes: why a record went to quarantine (analytics.md 1.1).

A code is part of the product: people group by it, alerts name it, replays select on it.
"""

from enum import StrEnum


class RejectCode(StrEnum):
    """A hard violation. The record is kept with its bytes and position, and goes no further."""

    PARSE_ERROR = "PARSE_ERROR"
    SCHEMA_MISSING_FIELD = "SCHEMA_MISSING_FIELD"
    SCHEMA_TYPE = "SCHEMA_TYPE"
    NON_FINITE = "NON_FINITE"
    UNKNOWN_MSG_TYPE = "UNKNOWN_MSG_TYPE"
    PRICE_NOT_POSITIVE = "PRICE_NOT_POSITIVE"
    QTY_NOT_POSITIVE = "QTY_NOT_POSITIVE"
    QTY_NEGATIVE = "QTY_NEGATIVE"
    FUTURE_TS = "FUTURE_TS"
    TS_OUT_OF_RANGE = "TS_OUT_OF_RANGE"
    UNKNOWN_SIDE = "UNKNOWN_SIDE"


MEANING: dict[RejectCode, str] = {
    RejectCode.PARSE_ERROR: "no record: broken JSON or CSV, bad UTF-8, a repeated key, too large",
    RejectCode.SCHEMA_MISSING_FIELD: "a required field is absent, or null where it may never be",
    RejectCode.SCHEMA_TYPE: "a field of a wrong type, with too many digits, or not in the contract",
    RejectCode.NON_FINITE: "NaN or an infinity in a numeric field",
    RejectCode.UNKNOWN_MSG_TYPE: "a message or order type other than the contract's own",
    RejectCode.PRICE_NOT_POSITIVE: "a price that is zero or negative (negative, for a quote)",
    RejectCode.QTY_NOT_POSITIVE: "a traded quantity that is zero or negative",
    RejectCode.QTY_NEGATIVE: "a quoted size that is negative",
    RejectCode.FUTURE_TS: "event time more than 5 s after the record was received",
    RejectCode.TS_OUT_OF_RANGE: "event time before 1990, or without a time zone",
    RejectCode.UNKNOWN_SIDE: "a side other than the contract's own",
}

# A record can break several rules; it is filed under the first of these.
PRIORITY: tuple[RejectCode, ...] = tuple(RejectCode)
