"""Exchange market data (R5): each venue's quote, last price and volume around the stock's mid.

The venues see the same mid, so their quotes differ only by how old they are. Where the mid moves
fast the spread widens just enough that no two quotes within a second of each other offer an
arbitrage of 10 bps; the only ones are those of the scenario.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate import clock, scenarios
from ingestion.generate.clock import SECOND_US, Bools, Floats, Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.prices import paths
from ingestion.generate.universe import STOCK_TICK, UNIT, universe

FORM = Form(
    "market_data",
    scales={"last_price": PRICE_SCALE, "bid_price": PRICE_SCALE, "offer_price": PRICE_SCALE},
    time="epoch_ms",
)
MOST_TICKS = 5
# Two quotes a second apart may then differ by twice this: below the 10 bps of an arbitrage.
FREE_MOVE = 4e-4
LOT, LOT_SCATTER = 100, 0.8
BEFORE_CLOSE_US = SECOND_US // 10
# In an episode all venues quote at once, this often, so that the edge neither ages nor moves.
EPISODE_STEP_US = SECOND_US // 4
EPISODE_TICKS = 2


@dataclass(frozen=True)
class _Schedule:
    """Who quotes when, in the order of events: stock (active index), venue, us since epoch UTC.

    `sequence` counts within a venue, `recv_ms` is when the message arrives.
    """

    stock: Ints
    venue: Ints
    event_us: Ints
    sequence: Ints
    recv_ms: Ints

    def part(self, rows: Ints) -> "_Schedule":
        """The messages at `rows`, in that order."""
        return _Schedule(
            self.stock[rows],
            self.venue[rows],
            self.event_us[rows],
            self.sequence[rows],
            self.recv_ms[rows],
        )


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's messages in arrival order. Prices in units of 0.0001, sizes and volume in shares.

    Raises ValueError where a scenario needs more messages than the day has.
    """
    schedule = _schedule(plan, day)
    order = clock.arrival_order(schedule.recv_ms)
    for number, first in enumerate(range(0, len(order), BLOCK_ROWS)):
        rng = plan.rng("market_data", day.isoformat(), str(number))
        yield _messages(plan, day, rng, schedule.part(order[first : first + BLOCK_ROWS]))


def _schedule(plan: Plan, day: date) -> _Schedule:
    rng = plan.rng("market_data", day.isoformat())
    count = plan.share_of(plan.market_data, day)
    fixed = _episode_messages(plan, day)
    free = count - len(fixed[0])
    if free < 0:
        raise ValueError(
            f"scenario {plan.scenario}: {day.isoformat()} needs {len(fixed[0]):,} market data "
            f"messages and has {count:,}; ask for more"
        )
    opened, closed = session_us(day)
    length_ms = (closed - BEFORE_CLOSE_US - opened) // 1000
    moment = (clock.diurnal_moments(rng, free) * length_ms).astype(np.int64)
    stock = np.r_[fixed[0], drawn_stocks(plan, rng, free)]
    venue = np.r_[fixed[1], rng.integers(0, len(plan.market.venues), free)]
    event = np.r_[fixed[2], opened + 1000 * moment]
    event = _in_step(plan, day, stock, event)
    order = np.argsort(event, kind="stable")
    stock, venue, event = stock[order], venue[order], event[order]
    recv = clock.received_ms(event, clock.arrival_delay_ms(rng, count))
    recv = in_order_of_venue(venue, recv)
    return _Schedule(stock, venue, event, clock.numbered_within(venue), recv)


def drawn_stocks(plan: Plan, rng: np.random.Generator, count: int) -> Ints:
    """`count` stocks (active indices), each as often as it trades."""
    known = universe(plan)
    weights = known.weights[: known.stocks]
    drawn: Ints = rng.choice(known.stocks, count, p=weights / weights.sum())
    return drawn


def in_order_of_venue(venue: Ints, recv_ms: Ints) -> Ints:
    """Arrivals such that no message of a venue overtakes an earlier one of the same venue."""
    arrives = recv_ms.copy()
    for number in np.unique(venue):
        mine = venue == number
        arrives[mine] = np.maximum.accumulate(recv_ms[mine])
    return arrives


def _messages(plan: Plan, day: date, rng: np.random.Generator, schedule: _Schedule) -> pl.DataFrame:
    bid, offer = _quotes(plan, day, rng, schedule)
    count = len(bid)
    sizes = rng.lognormal(0.0, LOT_SCATTER, (3, count)) * LOT
    bid_size, offer_size, volume = np.maximum(np.rint(sizes), 1).astype(np.int64)
    symbols = pl.Series([stock.symbol for stock in plan.market.stocks])
    return pl.DataFrame(
        {
            "instrument_id": symbols.gather(schedule.stock),
            "venue": pl.Series(plan.market.venues).gather(schedule.venue),
            "last_price": np.where(rng.random(count) < 0.5, bid, offer),
            "bid_price": bid,
            "offer_price": offer,
            "bid_size": bid_size,
            "offer_size": offer_size,
            "volume": volume,
            "event_us": schedule.event_us,
            "sequence": schedule.sequence,
            "recv_ms": schedule.recv_ms,
        }
    )


def _quotes(
    plan: Plan, day: date, rng: np.random.Generator, schedule: _Schedule
) -> tuple[Ints, Ints]:
    """Bid and offer in units of 0.0001, a whole number of ticks apart and around the mid."""
    stock, event = schedule.stock, schedule.event_us
    mid = paths(plan, day).mid(stock, event) * UNIT / STOCK_TICK
    second = (event - session_us(day)[0]) // SECOND_US
    wide = np.ceil(_needed_spread(plan, day)[stock, second] * mid).astype(np.int64)
    ticks = np.maximum(rng.integers(1, MOST_TICKS + 1, len(stock)), wide)
    episode = _episode_of(plan, day, stock, event)
    ticks = np.where(episode >= 0, np.maximum(EPISODE_TICKS, wide), ticks)
    bid = np.maximum(np.floor(mid - ticks / 2 + 0.5).astype(np.int64), 1)
    offer = bid + ticks
    for number, apart in enumerate(scenarios.dislocations(plan, day)):
        mine = (episode == number) & (schedule.venue == apart.venue)
        if apart.above:
            edge = np.rint(offer[mine] * apart.edge_bps / 1e4).astype(np.int64)
            bid[mine], offer[mine] = offer[mine] + edge, offer[mine] + edge + EPISODE_TICKS
        else:
            edge = np.rint(bid[mine] * apart.edge_bps / 1e4).astype(np.int64)
            bid[mine], offer[mine] = bid[mine] - edge - EPISODE_TICKS, bid[mine] - edge
    return bid * STOCK_TICK, offer * STOCK_TICK


def _needed_spread(plan: Plan, day: date) -> Floats:
    """Least spread over mid of a quote in each (stock, second) that no arbitrage needs fear.

    Two quotes at most a second apart see mids that differ by no more than the range of the second
    and its neighbours, and each is half a spread away from its own.
    """
    log_mid = paths(plan, day).log_mid[: universe(plan).stocks]
    edges = np.pad(log_mid, ((0, 0), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(edges, 4, axis=1)
    swing: Floats = windows.max(axis=2) - windows.min(axis=2)
    return np.maximum(swing - 2 * FREE_MOVE, 0.0)


def _episode_messages(plan: Plan, day: date) -> tuple[Ints, Ints, Ints]:
    """Stock, venue and time of the messages that open, keep up and end the day's episodes."""
    stock, venue, event = [], [], []
    venues = np.arange(len(plan.market.venues))
    for apart in scenarios.dislocations(plan, day):
        steps = np.arange(apart.start_us, apart.end_us + 1, EPISODE_STEP_US)
        event.append(np.repeat(steps, len(venues)))
        venue.append(np.tile(venues, len(steps)))
        stock.append(np.full(len(steps) * len(venues), apart.stock))
    if not event:
        none = np.empty(0, dtype=np.int64)
        return none, none, none
    return np.concatenate(stock), np.concatenate(venue), np.concatenate(event)


def _in_step(plan: Plan, day: date, stock: Ints, event_us: Ints) -> Ints:
    """Times, those of a stock in an episode moved back to when all its venues quote."""
    moved = event_us.copy()
    for apart in scenarios.dislocations(plan, day):
        mine = _within(apart, stock, event_us)
        past = event_us[mine] - apart.start_us
        moved[mine] = apart.start_us + past // EPISODE_STEP_US * EPISODE_STEP_US
    return moved


def _episode_of(plan: Plan, day: date, stock: Ints, event_us: Ints) -> Ints:
    """Number of the episode that each message falls into, -1 for none."""
    episode = np.full(len(stock), -1)
    for number, apart in enumerate(scenarios.dislocations(plan, day)):
        episode[_within(apart, stock, event_us)] = number
    return episode


def _within(apart: scenarios.Dislocation, stock: Ints, event_us: Ints) -> Bools:
    inside: Bools = (
        (stock == apart.stock) & (event_us >= apart.start_us) & (event_us < apart.end_us)
    )
    return inside
