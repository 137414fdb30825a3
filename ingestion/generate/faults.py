"""Faults of trade messages, and what must become of each (analytics.md 23.3).

A fault is applied where it belongs: to values before they become text, to members of the JSON
object, or to the finished text. A message carries at most one.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate.clock import Ints, numbered_within
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
    kept, duplicate (declared, not a second event), or none. `destination` names where a person
    has to find it.
    """

    kind: str
    weight: int
    verdict: str
    code: str | None
    silver: str
    destination: str


def _rejected(kind: str, weight: int, code: str) -> Fault:
    return Fault(kind, weight, "rejected", code, "none", "quarantine")


FAULTS = (
    _rejected(NEGATIVE_PRICE, 8, "PRICE_NOT_POSITIVE"),
    _rejected(ZERO_QUANTITY, 4, "QTY_NOT_POSITIVE"),
    _rejected(FUTURE_DATE, 6, "FUTURE_TS"),
    _rejected(MALFORMED_JSON, 6, "PARSE_ERROR"),
    _rejected(MISSING_FIELD, 4, "SCHEMA_MISSING_FIELD"),
    _rejected(WRONG_TYPE, 3, "SCHEMA_TYPE"),
    # Not rejected: parked in silver until the security arrives.
    Fault(UNKNOWN_INSTRUMENT, 4, "ok", None, "kept", "parked"),
    Fault(DUPLICATE, 7, "ok", None, "duplicate", "duplicate"),
    Fault(LATE, 6, "ok", None, "kept", "late"),
    Fault(FAT_FINGER, 2, "ok", None, "kept", "outlier"),
)
_WEIGHTS = sum(fault.weight for fault in FAULTS)
# Their bytes are damaged, not their values.
OF_TEXT = (MALFORMED_JSON, MISSING_FIELD, WRONG_TYPE)

UNLISTED = 50
REMOVABLE = ("tradeId", "instrumentId", "price", "quantity", "timestamp", "buySellIndicator")
WRONG_TRADE_ID = "123"
WRONG_VALUES = (
    ("price", '"abc"'),
    ("price", "true"),
    ("tradeId", WRONG_TRADE_ID),
    ("quantity", '"lots"'),
)
MALFORMED_WAYS = 5
# An outlier is judged by the 20 trades before it (analytics.md 5), some of which may be faulty.
TRADES_BEFORE_FAT_FINGER = 40
LATE_MS = (1_000, 60_000)
# A one-second candle waits 200 ms (analytics.md 6): what comes after that is late.
LATENESS_US = 200_000
SECOND_US, DAY_US = 1_000_000, 86_400_000_000


def counts(plan: Plan) -> dict[str, int]:
    """Messages of each kind over all days, to the nearest whole message."""
    total = plan.trades * plan.fault_share
    return {fault.kind: round(total * fault.weight / _WEIGHTS) for fault in FAULTS}


def counts_of_day(plan: Plan, day: date) -> dict[str, int]:
    """Messages of each kind on one day; the days add up to `counts`."""
    position = plan.position(day)
    return {kind: plan.split(count)[position] for kind, count in counts(plan).items()}


def assign(rng: np.random.Generator, trades: pl.DataFrame, of_day: dict[str, int]) -> pl.DataFrame:
    """Which of the day's `trades` carries which fault; duplicates are made later.

    Columns: fault (kind or null), variant (int, picks a form of the fault), amount in [0, 1).
    """
    messages = len(trades)
    kinds = [kind for kind in of_day if kind not in (DUPLICATE, LATE)] + [LATE]
    labels = np.repeat(np.arange(len(kinds)), [of_day[kind] for kind in kinds])
    chosen = _chosen(rng, trades, kinds, of_day)
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


def _chosen(
    rng: np.random.Generator, trades: pl.DataFrame, kinds: list[str], of_day: dict[str, int]
) -> Ints:
    """A message for each fault, kind after kind: at random, but where the fault can be told.

    A fat finger needs a history to stand out from, a late trade sound ones that overtake it: so it
    is chosen last. A day too small for that gives what comes nearest.
    """
    history = numbered_within(trades["active"].to_numpy())
    event_us = trades["event_us"].to_numpy()
    order, picks = rng.permutation(len(trades)), []
    for kind in kinds:
        fits = np.ones(len(trades), dtype=bool)
        if kind == FAT_FINGER:
            fits = history > TRADES_BEFORE_FAT_FINGER
        elif kind == LATE:
            sound = np.sort(order[: len(order) // 2])
            fits = _overtaken_us(event_us, event_us[sound]) - event_us <= LATE_MS[1] * 500
            fits[sound] = False
        order = order[np.argsort(~fits[order], kind="stable")]
        picks.append(order[: of_day[kind]])
        # Back into random order, or the next kind would inherit this one's preference.
        order = rng.permutation(order[of_day[kind] :])
    return np.concatenate(picks)


def late_delays(event_us: Ints, delay_ms: Ints, assigned: pl.DataFrame) -> Ints:
    """Delays from event to arrival, ms, late trades being late by 1-60 s.

    A late trade arrives after the watermark has passed its one-second candle: after a trade of
    the next second or beyond, plus the candle's patience.
    """
    late = (assigned["fault"] == LATE).fill_null(False).to_numpy()
    least, most = LATE_MS
    drawn = least + (assigned["amount"].to_numpy() * (most - least)).astype(np.int64)
    sound = assigned["fault"].is_null().to_numpy()
    arrived_us = event_us + delay_ms * 1000
    overtaken_us = _overtaken_us(event_us, event_us[sound], arrived_us[sound])
    needed = -(-(overtaken_us - event_us) // 1000) + 1
    return np.where(late, np.minimum(np.maximum(drawn, needed), most), delay_ms)


def _overtaken_us(event_us: Ints, others_us: Ints, arrived_us: Ints | None = None) -> Ints:
    """When the first of the others that closes each event's one-second candle happens or arrives.

    All are in event order. Far in the future where none does.
    """
    arrived_us = others_us if arrived_us is None else arrived_us
    closing = (event_us // SECOND_US + 1) * SECOND_US + LATENESS_US
    place = np.searchsorted(others_us, closing)
    never = np.iinfo(np.int64).max // 2
    overtaken: Ints = np.r_[arrived_us, never][place]
    return overtaken


def originals(rng: np.random.Generator, fault: pl.Series, count: int) -> tuple[Ints, Ints]:
    """`count` sound messages to repeat, and by how many ms (1..30,000) the copy comes later."""
    sound = fault.is_null().arg_true().to_numpy()
    return rng.choice(sound, count, replace=False), rng.integers(1, 30_001, count)


def damage_values(trades: pl.DataFrame) -> pl.DataFrame:
    """Faults of value: the message stays well-formed.

    Takes and gives instrument_id, event_us, price (units of 0.0001), quantity.
    """
    amount, variant, price = pl.col("amount"), pl.col("variant"), pl.col("price")
    tenfold = pl.when(variant % 2 == 0).then(price * 10).otherwise(price // 10)
    unlisted = pl.concat_str(pl.lit("UNLISTED_"), (variant % UNLISTED).cast(pl.String).str.zfill(4))
    later_us = DAY_US + (amount * (364 * DAY_US)).cast(pl.Int64)
    return trades.with_columns(
        instrument_id=pl.when(_is(UNKNOWN_INSTRUMENT)).then(unlisted).otherwise("instrument_id"),
        event_us=pl.col("event_us") + pl.when(_is(FUTURE_DATE)).then(later_us).otherwise(0),
        price=pl.when(_is(NEGATIVE_PRICE))
        .then(-price)
        .when(_is(FAT_FINGER))
        .then(tenfold)
        .otherwise(price),
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
