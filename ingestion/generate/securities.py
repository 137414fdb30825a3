"""The security master: a snapshot on the first day, only what changed on each later one."""

from collections.abc import Iterator
from datetime import date, time
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate.bonds import BONDS_PER_ISSUER, bond_terms, issuer_names
from ingestion.generate.clock import Ints, arrival_order, received_ms
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.listing import all_bonds, changes_per_day, listed_bonds, new_per_day
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us, utc_us
from ingestion.generate.universe import BOND_TICK, UNIT, active_bonds, listed_instruments

FORM = Form("securities", scales={"tick_size": PRICE_SCALE, "price_multiplier": PRICE_SCALE})
SNAPSHOT_AS_OF, SNAPSHOT_SENT = time(10, 0), time(10, 5)
SNAPSHOT_SPREAD_MS = 20 * 60_000
WITHOUT_AS_OF = 100
CHANGES_FROM, CHANGES_TO = time(11, 0), time(19, 0)
CHANGE_DELAY_MS = 120_000
HOUR_US = 3_600_000_000
# Bonds are priced per 100 of face value.
BOND_MULTIPLIER = UNIT // 100


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's messages in arrival order: the contract's columns, event_us and recv_ms."""
    if plan.position(day) == 0:
        yield from _snapshot(plan, day)
    elif changes_per_day(plan):
        yield _changes(plan, day)


def _snapshot(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """Every listed security, stocks and futures first, sent before the session opens.

    Some carry no as-of time: their broker's time has to serve.
    """
    others = listed_instruments(plan)
    listed = len(others) + listed_bonds(plan)
    rng = plan.rng("securities", day.isoformat())
    untimed = rng.choice(listed, min(WITHOUT_AS_OF, listed // 10), replace=False)
    as_of, sent = utc_us(day, SNAPSHOT_AS_OF), utc_us(day, SNAPSHOT_SENT) // 1000
    for start in range(0, listed, BLOCK_ROWS):
        place = np.arange(start, min(start + BLOCK_ROWS, listed), dtype=np.int64)
        bonds = _bonds(plan, place[place >= len(others)] - len(others))
        frame = pl.concat([_others(others.slice(start, BLOCK_ROWS)), bonds])
        # Each has a slot of its own within the twenty minutes, so that no block overtakes another.
        slot = (place + rng.random(len(place))) * (SNAPSHOT_SPREAD_MS / listed)
        timed = np.ones(len(place), dtype=bool)
        timed[untimed[(untimed >= start) & (untimed < start + BLOCK_ROWS)] - start] = False
        yield frame.with_columns(
            event_us=pl.when(pl.Series(timed)).then(pl.lit(as_of, dtype=pl.Int64)),
            recv_ms=sent + pl.Series(slot).cast(pl.Int64),
        )


def _changes(plan: Plan, day: date) -> pl.DataFrame:
    """New bonds, changed ones, and one correction dated back into the first session."""
    rng = plan.rng("securities", day.isoformat())
    later, fresh = plan.position(day) - 1, new_per_day(plan)
    new = listed_bonds(plan) + later * fresh + np.arange(fresh, dtype=np.int64)
    changed = _after_update(plan, _bonds(plan, _updated_bonds(plan)[later]), rng)
    frame = pl.concat([changed, _bonds(plan, new)])
    start, end = utc_us(day, CHANGES_FROM), utc_us(day, CHANGES_TO)
    as_of = rng.integers(start // 1000, end // 1000, len(frame)) * 1000
    recv = received_ms(as_of, rng.integers(1, CHANGE_DELAY_MS, len(frame)))
    # The first update is the correction: known today, true since the first session's third hour.
    opened, _ = session_us(plan.days[0])
    as_of[0] = opened + 2 * HOUR_US
    frame = frame.with_columns(event_us=pl.Series(as_of), recv_ms=pl.Series(recv))
    return frame[arrival_order(recv)]


@lru_cache(maxsize=4)
def _updated_bonds(plan: Plan) -> Ints:
    """Bond numbers (later days, updates a day) that change, none of them twice.

    Up to half are bonds that trade, each day's first one among them, so that changes show in gold.
    """
    days, updates = len(plan.days) - 1, changes_per_day(plan) - new_per_day(plan)
    rng = plan.rng("updated")
    active = active_bonds(plan)
    most = max(days, min(len(active) // 2, days * updates // 2))
    traded = rng.permutation(active)[:most]
    rest = days * updates - len(traded)
    # So many that enough are left without the active ones.
    drawn = rng.choice(listed_bonds(plan), rest + len(active), replace=False)
    quiet = drawn[~np.isin(drawn, active)][:rest]
    return np.concatenate([traded, quiet]).reshape(updates, days).T


def _after_update(plan: Plan, frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The bonds with a new issuer (and name), a new name, or a new segment, in turn."""
    what = np.arange(len(frame)) % 3
    issuers = all_bonds(plan) // BONDS_PER_ISSUER + 1
    # Past the last issuer in use: a buyer that certainly is another company.
    buyer = issuer_names(issuers + rng.integers(0, issuers, len(frame)))
    terms = pl.col("security_name").str.slice(pl.col("issuer").str.len_chars())
    moved, renamed, regraded = (pl.Series(what == kind) for kind in range(3))
    codes = [segment.code for segment in plan.market.segments]
    segment = pl.col("market_segment")
    graded = pl.when(segment == codes[0]).then(pl.lit(codes[-1])).otherwise(pl.lit(codes[0]))
    return frame.with_columns(
        security_name=pl.when(moved)
        .then(pl.concat_str(buyer, terms))
        .when(renamed)
        .then(pl.concat_str("issuer", pl.lit(" Senior"), terms))
        .otherwise("security_name"),
        issuer=pl.when(moved).then(buyer).otherwise("issuer"),
        market_segment=pl.when(regraded).then(graded).otherwise(segment),
    )


def _bonds(plan: Plan, numbers: Ints) -> pl.DataFrame:
    terms = bond_terms(plan, numbers)
    return _master(terms, tick=pl.lit(BOND_TICK), multiplier=pl.lit(BOND_MULTIPLIER))


def _others(listed: pl.DataFrame) -> pl.DataFrame:
    multiplier = (pl.col("multiplier") * UNIT).round()
    return _master(listed, tick=pl.col("tick"), multiplier=multiplier)


def _master(terms: pl.DataFrame, tick: pl.Expr, multiplier: pl.Expr) -> pl.DataFrame:
    """The contract's columns but the time."""
    return terms.select(
        "instrument_id", "cusip", "isin", "issuer",
        security_name="name",
        market_segment="segment",
        currency=pl.lit("USD"),
        tick_size=tick.cast(pl.Int64),
        price_multiplier=multiplier.cast(pl.Int64),
    )  # fmt: skip
