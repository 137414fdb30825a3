"""The security master: a snapshot on the first day, only what changed on each later one."""

from datetime import date, time
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate import encode, market
from ingestion.generate.market import Ints
from ingestion.generate.plan import Plan, session_us, utc_us
from ingestion.generate.universe import (
    BONDS_PER_ISSUER,
    SEGMENTS,
    STOCKS,
    Universe,
    changes_per_day,
    issuer_names,
    new_per_day,
    universe,
)

SNAPSHOT_AS_OF, SNAPSHOT_SENT = time(10, 0), time(10, 5)
SNAPSHOT_SPREAD_MS = 20 * 60_000
WITHOUT_AS_OF = 100
CHANGES_FROM, CHANGES_TO = time(11, 0), time(19, 0)
CHANGE_DELAY_MS = 120_000
HOUR_US = 3_600_000_000

KEYS = [
    "instrumentId",
    "securityName",
    "cusip",
    "isin",
    "marketSegment",
    "issuer",
    "asOf",
    "currency",
    "tickSize",
    "priceMultiplier",
]


def security_messages(plan: Plan, day: date) -> pl.DataFrame:
    """The day's messages in arrival order: key, value (binary), recv_ts_ms."""
    frame = _snapshot(plan, day) if plan.position(day) == 0 else _changes(plan, day)
    messages = _wire(frame).select(
        key=pl.col("key").cast(pl.Binary),
        value=encode.json_text(KEYS).cast(pl.Binary),
        recv_ts_ms="recv_ts_ms",
    )
    return messages[market.arrival_order(messages["recv_ts_ms"].to_numpy())]


def _snapshot(plan: Plan, day: date) -> pl.DataFrame:
    """Every listed instrument, sent before the session opens.

    Some carry no as-of time: their broker's time has to serve.
    """
    known = universe(plan)
    rng = plan.rng("securities", day.isoformat())
    untimed = rng.choice(known.listed, min(WITHOUT_AS_OF, known.listed // 10), replace=False)
    timed = np.ones(known.listed, dtype=bool)
    timed[untimed] = False
    sent = utc_us(day, SNAPSHOT_SENT) // 1000
    return known.frame.head(known.listed).with_columns(
        as_of_us=pl.when(pl.Series(timed)).then(utc_us(day, SNAPSHOT_AS_OF)),
        recv_ts_ms=pl.Series(np.sort(sent + rng.integers(0, SNAPSHOT_SPREAD_MS, known.listed))),
    )


def _changes(plan: Plan, day: date) -> pl.DataFrame:
    """New instruments, changed ones, and one correction dated back into the first session."""
    known = universe(plan)
    rng = plan.rng("securities", day.isoformat())
    position, fresh = plan.position(day) - 1, new_per_day(plan)
    new = known.listed + position * fresh + np.arange(fresh, dtype=np.int64)
    updated = _updated_rows(plan)[position]
    frame = pl.concat([_after_update(known, updated, rng), known.frame[new]])
    start, end = utc_us(day, CHANGES_FROM), utc_us(day, CHANGES_TO)
    as_of = rng.integers(start // 1000, end // 1000, len(frame)) * 1000
    recv = market.received_ms(as_of, rng.integers(1, CHANGE_DELAY_MS, len(frame)))
    # The first update is the correction: known today, true since the first session's third hour.
    opened, _ = session_us(plan.days[0])
    as_of[0] = opened + 2 * HOUR_US
    return frame.with_columns(as_of_us=pl.Series(as_of), recv_ts_ms=pl.Series(recv))


@lru_cache(maxsize=4)
def _updated_rows(plan: Plan) -> Ints:
    """Rows (later days, updates a day) that change, none of them twice.

    Half are bonds that trade, each day's first one among them, so that changes show in gold.
    """
    known = universe(plan)
    days, updates = len(plan.days) - 1, changes_per_day(plan) - new_per_day(plan)
    rng = plan.rng("updated")
    traded = rng.permutation(known.active[known.active >= len(STOCKS)])
    traded = traded[: max(days, min(len(traded) // 2, days * updates // 2))]
    quiet = np.setdiff1d(np.arange(len(STOCKS), known.listed), known.active)
    rest = rng.choice(quiet, days * updates - len(traded), replace=False)
    return np.concatenate([traded, rest]).reshape(updates, days).T


def _after_update(known: Universe, rows: Ints, rng: np.random.Generator) -> pl.DataFrame:
    """The instruments with a new issuer (and name), a new name, or a new segment, in turn."""
    frame = known.frame[rows]
    what = np.arange(len(rows)) % 3
    issuers = len(known.frame) // BONDS_PER_ISSUER + 1
    # Past the last issuer in use: a buyer that certainly is another company.
    buyer = issuer_names(issuers + rng.integers(0, issuers, len(rows)))
    terms = pl.col("name").str.slice(pl.col("issuer").str.len_chars())
    moved, renamed, regraded = (pl.Series(what == kind) for kind in range(3))
    investment, high_yield = SEGMENTS[0].code, SEGMENTS[2].code
    other = pl.when(pl.col("segment") == investment).then(pl.lit(high_yield))
    return frame.with_columns(
        name=pl.when(moved)
        .then(pl.concat_str(pl.Series(buyer), terms))
        .when(renamed)
        .then(pl.concat_str("issuer", pl.lit(" Senior"), terms))
        .otherwise("name"),
        issuer=pl.when(moved).then(pl.Series(buyer)).otherwise("issuer"),
        segment=pl.when(regraded).then(other.otherwise(pl.lit(investment))).otherwise("segment"),
    )


def _wire(frame: pl.DataFrame) -> pl.DataFrame:
    """JSON text of every value; bonds are priced per 100, hence their multiplier."""
    stock = pl.col("is_stock")
    text = {
        "instrumentId": "instrument_id",
        "securityName": "name",
        "cusip": "cusip",
        "isin": "isin",
        "marketSegment": "segment",
        "issuer": "issuer",
    }
    return frame.select(
        "recv_ts_ms",
        key="instrument_id",
        **{key: encode.quoted(pl.col(column)) for key, column in text.items()},
        asOf=encode.time_text(pl.col("as_of_us"), encode.MILLISECOND_TEXT),
        currency=pl.lit('"USD"'),
        tickSize=encode.decimal_text(pl.col("tick"), pl.col("places")),
        priceMultiplier=pl.when(stock).then(pl.lit("1")).otherwise(pl.lit("0.01")),
    )
