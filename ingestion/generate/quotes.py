"""Dealer quotes (R1): who shows what to whom, and when it is renewed (analytics.md 23.3).

When the mid has moved enough, all dealers of an instrument follow within some milliseconds; in
between single dealers refresh, in clusters, around the mid they already stand at. So quotes differ
by skew and spread, and hardly ever cross. In bonds one dealer sleeps (sleepy.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate import clock
from ingestion.generate.clock import SECOND_US, Bools, Floats, Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.flow import hawkes
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.prices import Paths, paths
from ingestion.generate.sleepy import NAP_SECONDS, wakes
from ingestion.generate.universe import UNIT, Universe, universe

FORM = Form(
    "quotes",
    scales={"bid_price": PRICE_SCALE, "offer_price": PRICE_SCALE, "price": PRICE_SCALE},
)

LEAST_BOND_DEALERS = 8
QUOTES_PER_DEALER = 8  # an instrument with few quotes has few dealers
STEP_SHARE = 0.85  # of the quotes, sent because the mid moved
FOLLOWS_WITHIN_US = (1_000, 50_000)
SLEEPY_DEALERS_FROM = 4
SPREAD_SIGMA = 0.35
MAX_SKEW = 0.2  # of the half spread, so that dealers rarely cross each other
BOND_LOT, STOCK_LOT = 100_000, 100
LAST_US = SECOND_US // 5

BOTH, BID, OFFER = 0, 1, 2


@dataclass(frozen=True)
class _Timing:
    """When which dealer quotes, and the moment whose mid he looks at; arrays of one length.

    `again`: the mid he looks at is the one of his quote before.
    """

    active: Ints
    dealer: Ints
    event_us: Ints
    seen_us: Ints
    sleepy: Bools
    again: Bools


@lru_cache(maxsize=1)
def quote_day(plan: Plan, day: date) -> pl.DataFrame:
    """Quotes of one day in event order.

    Columns: active (index), event_us, dealer (index), bid, offer (units of 0.0001), bid_size,
    offer_size, one_sided (0: both sides, 1: bid alone, 2: offer alone), withdrawn (0 none, 1 bid,
    2 offer), first (a dealer's first of the day), sequence (per dealer, from 1).
    """
    known = universe(plan)
    rng = plan.rng("quotes", day.isoformat())
    path = paths(plan, day)
    timing = _timing(plan, rng, day, known, path)
    bid, offer = _prices(rng, known, path, timing)
    count = len(bid)
    stock = timing.active < known.stocks
    first = clock.numbered_within(timing.active * 1000 + timing.dealer) == 1
    one_sided, withdrawn = _sides(plan, rng, first, timing.again)
    return (
        pl.DataFrame(
            {
                "active": timing.active,
                "event_us": timing.event_us,
                "dealer": timing.dealer,
                "bid": bid,
                "offer": offer,
                "bid_size": _sizes(rng, stock),
                "offer_size": _sizes(rng, stock),
                "one_sided": one_sided,
                "withdrawn": withdrawn,
                "first": first,
                "sequence": clock.numbered_within(timing.dealer),
            }
        )
        if count
        else _no_quotes()
    )


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's quotes in arrival order, a block at a time."""
    quotes = quote_day(plan, day)
    delay = clock.arrival_delay_ms(plan.rng("quotes", "arrival", day.isoformat()), len(quotes))
    recv = clock.received_ms(quotes["event_us"].to_numpy(), delay)
    order = clock.arrival_order(recv)
    for first in range(0, len(quotes), BLOCK_ROWS):
        chosen = order[first : first + BLOCK_ROWS]
        yield _columns(plan, quotes[chosen], recv[chosen])


def venue_of(dealer: Ints, venues: int) -> Ints:
    """The venue (index) at which a dealer makes markets in stocks."""
    return dealer % venues


def _timing(
    plan: Plan, rng: np.random.Generator, day: date, known: Universe, path: Paths
) -> _Timing:
    """Exactly the day's number: openings, sleepy ones, steps, and refreshes for the rest."""
    count = plan.share_of(plan.quotes, day)
    opened, closed = session_us(day)
    expected = np.maximum((count * known.weights).astype(np.int64), 1)
    dealers = _dealers(plan, rng, known, expected)
    sleepy = (np.arange(len(dealers)) >= known.stocks) & (dealers >= SLEEPY_DEALERS_FROM)
    sleepy &= expected > 4 * (closed - opened) // (NAP_SECONDS * SECOND_US)
    nap, wake_us = wakes(path, sleepy, _reach(known), closed - LAST_US)
    awake = dealers - sleepy
    room = expected - dealers - np.bincount(nap, minlength=len(dealers))
    steps = np.maximum((room * STEP_SHARE).astype(np.int64) // awake, 0)

    opening = _rounds(dealers)
    step_of, step_us = _step_times(rng, path, steps, opened, closed)
    each = np.repeat(np.arange(len(step_of)), awake[step_of])
    fixed = len(opening[0]) + len(nap) + len(each)
    extra = max(0, count - fixed)
    again, again_us = hawkes(plan, rng, known, extra, opened + 2 * SECOND_US, closed - LAST_US)
    moved_us = _latest_step(again, again_us, step_of, step_us, opened)
    opened_us = opened + rng.integers(0, SECOND_US, len(opening[0]))
    parts = (
        (*opening, opened_us, opened, False),
        (nap, dealers[nap] - 1, wake_us, wake_us, False),
        (
            step_of[each],
            _places_within(each),
            step_us[each] + rng.integers(*FOLLOWS_WITHIN_US, len(each)),
            step_us[each],
            False,
        ),
        (again, (rng.random(extra) * awake[again]).astype(np.int64), again_us, moved_us, True),
    )
    active, place, event_us, seen_us, same_mid = (
        np.concatenate([np.broadcast_to(part[n], len(part[0])) for part in parts]) for n in range(5)
    )
    event_us = np.where(active < known.stocks, event_us, -(-event_us // 1000) * 1000)
    order = np.lexsort((place, active, event_us))[:count]
    active, place = active[order], place[order]
    dealer = _identities(plan, rng, len(dealers))[active, place]
    asleep = sleepy[active] & (place == dealers[active] - 1)
    return _Timing(active, dealer, event_us[order], seen_us[order], asleep, same_mid[order])


def _reach(known: Universe) -> Floats:
    """How far each mid can move, as log return, before quotes around it cross the widest old one.

    Both stand at least (1 - MAX_SKEW) of half their spread away from the mid they look at.
    """
    low, high = known.column("spread_low"), known.column("spread_high")
    reach: Floats = (1 - MAX_SKEW) * (low + high) / 2e4
    return reach


def _dealers(plan: Plan, rng: np.random.Generator, known: Universe, expected: Ints) -> Ints:
    """How many dealers make a market in each active instrument."""
    most = plan.market.dealers
    wanted = rng.integers(min(LEAST_BOND_DEALERS, most), most + 1, len(expected))
    wanted[: known.stocks] = min(plan.market.stock_dealers, most)
    return np.clip(expected // QUOTES_PER_DEALER, 1, wanted)


def _identities(plan: Plan, rng: np.random.Generator, instruments: int) -> Ints:
    """(instruments, dealers): which dealer is the n-th of an instrument."""
    return rng.permuted(np.tile(np.arange(plan.market.dealers), (instruments, 1)), axis=1)


def _rounds(dealers: Ints) -> tuple[Ints, Ints]:
    """One quote of every dealer of every instrument: instrument and place of the dealer."""
    active = np.repeat(np.arange(len(dealers)), dealers)
    return active, _places_within(active)


def _places_within(group: Ints) -> Ints:
    """0, 1, 2 ... within each run of equal numbers."""
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else group
    return np.arange(len(group)) - np.repeat(first, np.diff(np.r_[first, len(group)]))


def _step_times(
    rng: np.random.Generator, path: Paths, steps: Ints, opened: int, closed: int
) -> tuple[Ints, Ints]:
    """Moments at which all dealers follow, evenly spread over how far the mid travels."""
    active = np.repeat(np.arange(len(steps)), steps)
    place = _places_within(active)
    share = (place + rng.random(len(active))) / np.maximum(steps[active], 1)
    times = np.empty(len(active))
    seconds = np.arange(path.moved.shape[1])
    for instrument in np.flatnonzero(steps):
        mine = slice(*np.searchsorted(active, (instrument, instrument + 1)))
        travelled = path.moved[instrument]
        times[mine] = np.interp(share[mine] * travelled[-1], travelled, seconds)
    at = opened + SECOND_US + (times * SECOND_US).astype(np.int64)
    return active, np.minimum(at, closed - 2 * LAST_US)


def _latest_step(active: Ints, event_us: Ints, step_of: Ints, step_us: Ints, opened: int) -> Ints:
    """The step that a refresh still stands at: the instrument's last one before it."""
    settled = FOLLOWS_WITHIN_US[1]
    keys = np.sort((step_of << 41) + (step_us - opened + settled))
    found = np.searchsorted(keys, (active << 41) + (event_us - opened), side="right") - 1
    key = keys[np.maximum(found, 0)] if len(keys) else np.full(len(active), -1)
    same = (found >= 0) & (key >> 41 == active)
    return np.where(same, opened + (key & ((1 << 41) - 1)) - settled, opened)


def _prices(
    rng: np.random.Generator, known: Universe, path: Paths, timing: _Timing
) -> tuple[Ints, Ints]:
    """Bid and offer in units of 0.0001, on the tick, the spread within its bounds in bps."""
    count = len(timing.active)
    tick, low, high = (
        known.column(name)[timing.active] for name in ("tick", "spread_low", "spread_high")
    )
    middle = path.mid(timing.active, timing.seen_us) * UNIT / tick
    minute = np.minimum(
        (timing.seen_us - path.opened_us) // (60 * SECOND_US), path.local.shape[1] - 1
    )
    wild = np.sqrt(path.local[timing.active, minute])
    wanted = np.sqrt(low * high) * wild * np.exp(SPREAD_SIGMA * rng.standard_normal(count))
    wanted[timing.sleepy] = high[timing.sleepy]
    # The bounds hold for the quote's own mid, which skew and rounding move off the market's.
    away = 1 + MAX_SKEW / 2 * high / 1e4 * middle
    least = np.ceil(low / 1e4 * (middle + away))
    most = np.maximum(np.floor(high / 1e4 * (middle - away)), least)
    spread = np.clip(np.ceil(wanted / 1e4 * middle), least, most)
    skew = MAX_SKEW * (2 * rng.random(count) - 1) * spread / 2
    bid = np.rint(middle + skew - spread / 2).astype(np.int64)
    return bid * tick, (bid + spread.astype(np.int64)) * tick


def _sizes(rng: np.random.Generator, stock: Bools) -> Ints:
    """0.1-5 MM face for bonds, 1-50 round lots for stocks."""
    lots = np.clip(np.rint(rng.lognormal(np.log(5.0), 1.0, len(stock))), 1, 50).astype(np.int64)
    return lots * np.where(stock, STOCK_LOT, BOND_LOT)


def _sides(plan: Plan, rng: np.random.Generator, first: Bools, again: Bools) -> tuple[Ints, Ints]:
    """Which side a message speaks of, and which it takes away; a day's first quote is whole.

    A message of one side leaves the other where it was. Sent because the mid has moved, it would
    leave a stale price that crosses other dealers, so it is a refresh wherever there are enough.
    """
    # A withdrawal comes as often in the one form as in the other.
    alone, form = plan.market.one_sided_share, plan.market.withdrawn_share / 2
    count = len(first)
    side, drawn = rng.integers(BID, OFFER + 1, count), rng.random(count)
    later = ~first
    partial = later & again
    if partial.sum() < (alone + form) * later.sum():
        partial = later
    drawn *= partial.sum() / max(later.sum(), 1)
    deleted = partial & (drawn < form)
    one_sided = partial & (drawn < form + alone)
    whole = later & ~one_sided
    withdrawn = whole & (rng.random(count) * whole.sum() < form * later.sum())
    return np.where(one_sided, side, BOTH), np.where(deleted | withdrawn, side, BOTH)


def _columns(plan: Plan, quotes: pl.DataFrame, recv: Ints) -> pl.DataFrame:
    """Contract columns: a withdrawn side has the price null and the size 0, or is deleted."""
    known = universe(plan)
    active, dealer = quotes["active"].to_numpy(), quotes["dealer"].to_numpy()
    names = known.frame["instrument_id"].gather(known.active)
    dealers = pl.Series([f"DEALER_{number:03d}" for number in range(1, plan.market.dealers + 1)])
    venues = pl.Series(plan.market.venues).gather(venue_of(dealer, len(plan.market.venues)))
    alone, gone = pl.col("one_sided"), pl.col("withdrawn")
    whole = alone == BOTH
    bid_side = alone == BID
    no_bid, no_offer = gone == BID, gone == OFFER
    return quotes.select(
        "event_us",
        instrument_id=names.gather(active),
        dealer_id=dealers.gather(dealer),
        venue=pl.when(pl.Series(active < known.stocks)).then(pl.lit(venues)),
        bid_price=pl.when(whole & ~no_bid).then("bid"),
        offer_price=pl.when(whole & ~no_offer).then("offer"),
        bid_size=pl.when(whole).then(pl.when(no_bid).then(0).otherwise("bid_size")),
        offer_size=pl.when(whole).then(pl.when(no_offer).then(0).otherwise("offer_size")),
        sequence="sequence",
        side=pl.when(bid_side).then(pl.lit("BID")).when(~whole).then(pl.lit("OFFER")),
        action=pl.when(~whole & (gone == BOTH))
        .then(pl.lit("UPDATE"))
        .when(~whole)
        .then(pl.lit("DELETE")),
        price=pl.when(~whole & (gone == BOTH)).then(
            pl.when(bid_side).then("bid").otherwise("offer")
        ),
        size=pl.when(~whole & (gone == BOTH)).then(
            pl.when(bid_side).then("bid_size").otherwise("offer_size")
        ),
        recv_ms=pl.Series(recv),
    )


def _no_quotes() -> pl.DataFrame:
    columns = "active event_us dealer bid offer bid_size offer_size one_sided withdrawn sequence"
    schema = pl.Schema({name: pl.Int64() for name in columns.split()} | {"first": pl.Boolean()})
    return pl.DataFrame(schema=schema)
