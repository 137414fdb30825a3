"""Position snapshots (R6): what each trader holds of each stock, folded from his trades.

Positions follow the sound trades of `trade_day`: a fault is in the message, not in the fill, so a
trade whose message is rejected moved the position all the same. They carry over from day to day.
Average cost is analytics.md 14: it changes when a position grows or turns, not when it shrinks.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from ingestion.generate import clock
from ingestion.generate.clock import SECOND_US, Ints
from ingestion.generate.encode import PRICE_SCALE, Form
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.trades import trade_day
from ingestion.generate.universe import universe

AVERAGE_SCALE, PNL_SCALE = 9, 8
FORM = Form(
    "positions",
    scales={"avg_price": AVERAGE_SCALE, "current_pnl": PNL_SCALE},
    time="epoch_ms",
)
# Cost is kept in integers this much finer than price x quantity: what a division loses there never
# reaches the ninth decimal of an average.
FINER = 10**30
_TO_AVERAGE = 10 ** (AVERAGE_SCALE - PRICE_SCALE)
_LEAST = FINER // 10**10

# Signed quantity, and its cost (quantity x average price) in units of 0.0001 / FINER; None for a
# stock that the trader has never traded.
Holding = tuple[int, int] | None
# quantity, average (None when flat), profit or loss: units of the columns.
Reported = tuple[int, int | None, int]


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The day's snapshots in arrival order: every `plan.snapshot_minutes` from the open on.

    One row for each trader and stock that he has traded up to then, flat ones included (quantity
    0, no average). `avg_price` is rounded half up to 9 decimals, `current_pnl` = position_size x
    (mark - avg_price) to 8, both half away from zero; the mark is the last trade's price. A stock's
    multiplier is 1.
    """
    if plan.snapshot_minutes == 0:
        return
    snapshots, _closings(plan)[plan.position(day)] = _folded(plan, day, _opening(plan, day))
    delay = clock.arrival_delay_ms(plan.rng("positions", day.isoformat()), len(snapshots))
    recv = clock.received_ms(snapshots["event_us"].to_numpy(), delay)
    sent = snapshots.with_columns(recv_ms=pl.Series(recv))
    yield from sent[clock.arrival_order(recv)].iter_slices(BLOCK_ROWS)


@lru_cache(maxsize=2)
def _closings(plan: Plan) -> dict[int, tuple[Holding, ...]]:
    """Holdings by trader and stock at the end of each day known so far, by the day's position."""
    return {-1: (None,) * (plan.market.traders * universe(plan).stocks)}


def _opening(plan: Plan, day: date) -> tuple[Holding, ...]:
    """Holdings at the start of a day: those at the end of the one before."""
    known, position = _closings(plan), plan.position(day)
    for earlier in range(max(p for p in known if p < position) + 1, position):
        _, known[earlier] = _folded(plan, plan.days[earlier], known[earlier - 1])
    return known[position - 1]


def _folded(
    plan: Plan, day: date, opening: tuple[Holding, ...]
) -> tuple[pl.DataFrame, tuple[Holding, ...]]:
    """The day's snapshots by time, trader and stock, and the holdings at its end."""
    stocks, keys = universe(plan).stocks, len(opening)
    trades = trade_day(plan, day).filter(pl.col("active") < stocks)
    times = _snapshot_us(plan, day)
    marks = _marks(plan, day, trades, times)
    key = (trades["trader"].to_numpy() - 1) * stocks + trades["active"].to_numpy()
    by_key = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[by_key], np.arange(keys + 1))
    trades = trades[by_key]
    event = trades["event_us"].to_numpy()
    price = trades["price"].to_list()
    signed = trades.select(pl.when("buy").then("quantity").otherwise(-pl.col("quantity")))
    quantity = signed.to_series().to_list()
    closing, found = [], []
    for number in range(keys):
        first, last = int(bounds[number]), int(bounds[number + 1])
        cuts = first + np.searchsorted(event[first:last], times, side="right")
        holding = opening[number]
        for place, cut in enumerate(cuts.tolist()):
            holding = _fold(holding, price[first:cut], quantity[first:cut])
            first = cut
            if holding is not None:
                mark = marks[number % stocks][place]
                found.append((place, number, *_reported(holding, mark)))
        closing.append(_fold(holding, price[first:last], quantity[first:last]))
    return _frame(plan, times, found), tuple(closing)


def _fold(holding: Holding, prices: Sequence[int], quantities: Sequence[int]) -> Holding:
    """`holding` after these fills, signed and in order. A plain loop: 0.3 us a fill."""
    if not prices:
        return holding
    held, cost = holding or (0, 0)
    for price, signed in zip(prices, quantities, strict=True):
        after = held + signed
        if held * signed >= 0:
            cost += price * abs(signed) * FINER
        elif after * held >= 0:
            cost = cost * after // held
        else:
            cost = price * abs(after) * FINER
        held = after
    return held, cost


def _reported(holding: tuple[int, int], mark: int) -> Reported:
    """Quantity, average and profit or loss at `mark` (units of 0.0001) as the snapshot has them."""
    held, cost = holding
    if held == 0:
        return 0, None, 0
    size = abs(held) * FINER
    # An exact half may lie a hair low after the divisions of a long fold.
    average = (2 * cost * _TO_AVERAGE + size + _LEAST) // (2 * size)
    profit = held * (mark * _TO_AVERAGE - average)
    rounded = (abs(profit) + 5) // 10
    return held, average, rounded if profit >= 0 else -rounded


def _snapshot_us(plan: Plan, day: date) -> Ints:
    """When the day's snapshots are taken, us since epoch UTC; the last not after the close."""
    if plan.snapshot_minutes == 0:
        return np.empty(0, dtype=np.int64)
    opened, closed = session_us(day)
    step = plan.snapshot_minutes * 60 * SECOND_US
    return np.arange(opened + step, closed + 1, step, dtype=np.int64)


def _marks(plan: Plan, day: date, trades: pl.DataFrame, times: Ints) -> list[list[int]]:
    """Last price of each stock at or before each snapshot; where none is, that of the days before.

    0 where it never traded, which no holding can ask for.
    """
    last = _last_prices(plan, day)
    marks = []
    for stock in range(universe(plan).stocks):
        mine = trades.filter(pl.col("active") == stock)
        prices = np.r_[last[stock], mine["price"].to_numpy()]
        latest = np.searchsorted(mine["event_us"].to_numpy(), times, side="right")
        marks.append(prices[latest].tolist())
    return marks


def _last_prices(plan: Plan, day: date) -> list[int]:
    """Price of each stock's last trade on the days before; 0 where there is none."""
    stocks = universe(plan).stocks
    prices = [0] * stocks
    for earlier in reversed(plan.days[: plan.position(day)]):
        last = trade_day(plan, earlier).group_by("active").agg(pl.col("price").last())
        for active, price in last.iter_rows():
            if active < stocks and not prices[active]:
                prices[active] = price
        if all(prices):
            break
    return prices


def _frame(
    plan: Plan, times: Ints, found: list[tuple[int, int, int, int | None, int]]
) -> pl.DataFrame:
    """Contract columns from (snapshot, key, quantity, average, profit), by snapshot and key."""
    columns = ("place", "key", "position_size", "avg_price", "current_pnl")
    schema = dict.fromkeys(columns, pl.Int64)
    taken = pl.DataFrame(found, schema=schema, orient="row").sort("place", "key")
    stocks = universe(plan).stocks
    traders = pl.Series([f"TRADER_{n:02d}" for n in range(1, plan.market.traders + 1)])
    symbols = pl.Series([stock.symbol for stock in plan.market.stocks])
    return taken.select(
        trader_id=traders.gather(taken["key"] // stocks),
        instrument_id=symbols.gather(taken["key"] % stocks),
        position_size="position_size",
        avg_price="avg_price",
        current_pnl="current_pnl",
        event_us=pl.Series(times).gather(taken["place"]),
    )
