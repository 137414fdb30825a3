"""Faults of trade messages, and what must become of each (analytics.md 23.3).

A fault is applied where it belongs: to values before they become text, to members of the JSON
object, or to the finished text. A message carries at most one.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate.plan import Plan

NEGATIVE_PRICE = "negative_price"
ZERO_QUANTITY = "zero_quantity"
FUTURE_DATE = "future_date"
MALFORMED_JSON = "malformed_json"
MISSING_FIELD = "missing_field"
WRONG_TYPE = "wrong_type"
UNKNOWN_INSTRUMENT = "unknown_instrument"
DUPLICATE = "duplicate"
LATE = "late"
FAT_FINGER = "fat_finger"


@dataclass(frozen=True)
class Fault:
    """`weight`: tenths of a percent of all trade messages where 5 % are faulty.

    `code` is the reject code of a rejected message. `silver` says what a kept one becomes:
    kept, duplicate (declared, not a second event), or none.
    """

    kind: str
    weight: int
    verdict: str
    code: str | None
    silver: str


FAULTS = (
    Fault(NEGATIVE_PRICE, 8, "rejected", "PRICE_NOT_POSITIVE", "none"),
    Fault(ZERO_QUANTITY, 4, "rejected", "QTY_NOT_POSITIVE", "none"),
    Fault(FUTURE_DATE, 6, "rejected", "FUTURE_TS", "none"),
    Fault(MALFORMED_JSON, 6, "rejected", "PARSE_ERROR", "none"),
    Fault(MISSING_FIELD, 4, "rejected", "SCHEMA_MISSING_FIELD", "none"),
    Fault(WRONG_TYPE, 3, "rejected", "SCHEMA_TYPE", "none"),
    # Not rejected: parked in silver until the security arrives.
    Fault(UNKNOWN_INSTRUMENT, 4, "ok", None, "kept"),
    Fault(DUPLICATE, 7, "ok", None, "duplicate"),
    Fault(LATE, 6, "ok", None, "kept"),
    Fault(FAT_FINGER, 2, "ok", None, "kept"),
)
_WEIGHTS = sum(fault.weight for fault in FAULTS)

UNLISTED = 50
DAY_US = 86_400_000_000
REMOVABLE = ("tradeId", "instrumentId", "price", "quantity", "timestamp", "buySellIndicator")
WRONG_TRADE_ID = "123"
WRONG_VALUES = (
    ("price", '"abc"'),
    ("price", "true"),
    ("tradeId", WRONG_TRADE_ID),
    ("quantity", '"lots"'),
)
MALFORMED_WAYS = 5


def counts(plan: Plan) -> dict[str, int]:
    """Messages of each kind over all days, to the nearest whole message."""
    total = plan.trades * plan.fault_share
    return {fault.kind: round(total * fault.weight / _WEIGHTS) for fault in FAULTS}


def counts_of_day(plan: Plan, day: date) -> dict[str, int]:
    """Messages of each kind on one day; the days add up to `counts`."""
    position = plan.position(day)
    return {kind: plan.split(count)[position] for kind, count in counts(plan).items()}


def assign(rng: np.random.Generator, messages: int, of_day: dict[str, int]) -> pl.DataFrame:
    """Which of `messages` base messages carries which fault; duplicates are made later.

    Columns: fault (kind or null), variant (int, picks a form of the fault), amount in [0, 1).
    """
    kinds = [kind for kind in of_day if kind != DUPLICATE]
    labels = np.repeat(np.arange(len(kinds)), [of_day[kind] for kind in kinds])
    chosen = rng.permutation(messages)[: len(labels)]
    label = np.full(messages, -1, dtype=np.int64)
    label[chosen] = labels
    # Counting within a kind, not drawing, so that every form occurs even among few messages.
    variant = np.zeros(messages, dtype=np.int64)
    variant[chosen] = np.arange(len(labels))
    amount = np.zeros(messages)
    amount[chosen] = rng.random(len(labels))
    names = pl.Series(kinds, dtype=pl.String)
    fault = names.gather(np.maximum(label, 0)).to_frame("fault")
    return fault.select(
        fault=pl.when(pl.Series(label >= 0)).then("fault"),
        variant=pl.Series(variant),
        amount=pl.Series(amount),
    )


def originals(
    rng: np.random.Generator, fault: pl.Series, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`count` sound messages to repeat, and by how many ms (1..30,000) the copy comes later."""
    sound = fault.is_null().arg_true().to_numpy()
    return rng.choice(sound, count, replace=False), rng.integers(1, 30_001, count)


def damage_values(trades: pl.DataFrame) -> pl.DataFrame:
    """Faults of value: the message stays well-formed.

    Takes and gives instrument_id, event_us, delay_ms, price (units of 0.0001), places, quantity,
    sign ('' or '-').
    """
    amount, variant = pl.col("amount"), pl.col("variant")
    tenfold, tenth = _is(FAT_FINGER) & (variant % 2 == 0), _is(FAT_FINGER) & (variant % 2 == 1)
    unlisted = pl.concat_str(pl.lit("UNLISTED_"), (variant % UNLISTED).cast(pl.String).str.zfill(4))
    later_us = DAY_US + (amount * (364 * DAY_US)).cast(pl.Int64)
    late_ms = 1_000 + (amount * 59_000).cast(pl.Int64)
    price = pl.col("price")
    return trades.with_columns(
        instrument_id=pl.when(_is(UNKNOWN_INSTRUMENT)).then(unlisted).otherwise("instrument_id"),
        event_us=pl.col("event_us") + pl.when(_is(FUTURE_DATE)).then(later_us).otherwise(0),
        delay_ms=pl.when(_is(LATE)).then(late_ms).otherwise("delay_ms"),
        sign=pl.when(_is(NEGATIVE_PRICE)).then(pl.lit("-")).otherwise(pl.lit("")),
        price=pl.when(tenfold).then(price * 10).when(tenth).then(price // 10).otherwise(price),
        places=pl.col("places") + tenth.fill_null(False).cast(pl.Int64),
        quantity=pl.when(_is(ZERO_QUANTITY)).then(0).otherwise("quantity"),
    )


def damage_members(wire: pl.DataFrame) -> pl.DataFrame:
    """Faults of schema: a member taken away (null), or one whose value has the wrong type."""
    variant = pl.col("variant")
    missing = {
        key: pl.when(_is(MISSING_FIELD) & (variant % len(REMOVABLE) == place))
        .then(None)
        .otherwise(key)
        for place, key in enumerate(REMOVABLE)
    }
    wire = wire.with_columns(**missing)
    for place, (key, value) in enumerate(WRONG_VALUES):
        hit = _is(WRONG_TYPE) & (variant % len(WRONG_VALUES) == place)
        wire = wire.with_columns(pl.when(hit).then(pl.lit(value)).otherwise(key).alias(key))
    return wire


def damage_text(messages: pl.DataFrame) -> pl.DataFrame:
    """Malformed JSON in `value` (text), which becomes binary."""
    text, way = pl.col("value"), pl.col("variant") % MALFORMED_WAYS
    length = 1 + (pl.col("amount") * (text.str.len_chars() - 1)).cast(pl.Int64)
    broken = (
        pl.when(way == 0)
        .then(text.str.head(length))  # cut off on the way
        .when(way == 1)
        .then(text.str.replace('":', '" ', literal=True))  # no colon
        .when(way == 2)
        .then(pl.concat_str(text, pl.lit("}")))  # something after the end
        .when(way == 3)
        .then(text.str.replace_all('"', "'", literal=True))  # a printed dict, not JSON
        .otherwise(text)
    )
    opening = '{"tradeId":"'
    not_utf8 = pl.lit(opening.encode() + b"\xff") + text.str.slice(len(opening)).cast(pl.Binary)
    malformed = _is(MALFORMED_JSON)
    return messages.with_columns(
        value=pl.when(malformed & (way == MALFORMED_WAYS - 1))
        .then(not_utf8)
        .when(malformed)
        .then(broken.cast(pl.Binary))
        .otherwise(text.cast(pl.Binary))
    )


def readable_trade_id() -> pl.Expr:
    """The trade id a message carries, null where none can be read from it."""
    not_text = (pl.col("tradeId") == WRONG_TRADE_ID) | pl.col("tradeId").is_null()
    return pl.when(_is(MALFORMED_JSON) | not_text).then(None).otherwise("trade_id")


def _is(kind: str) -> pl.Expr:
    return pl.col("fault") == kind
