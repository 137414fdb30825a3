"""What a scenario does to the market: when, to which stock and how much (features.md G7).

A scenario happens on every day of the plan. Paths, trades and market data ask here how to bend, and
`truth` says which alerts (analytics.md 14-16) must follow. Nothing here depends on the messages, so
that what must be found is never derived from what was made.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ingestion.generate.clock import SECOND_US, Bools, Floats, Ints
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.universe import UNIT, universe

MINUTE_US = 60 * SECOND_US

# volatility: wild for twenty minutes, a sharp move and its reversal within them. It is the most
# traded stock and early in the day, so that a market of moderate size is busy enough to show it.
WILD_STOCK, WILD_FROM_MINUTES = 0, (24, 46)
WILD_FACTOR, WILD_MINUTES = 6.0, 20
MOVE, MOVE_SECONDS = 0.12, 60  # log return
MOVE_MINUTE, REVERSAL_MINUTE = 6, 14  # of the wild ones
MOVE_REFERENCE_US = 5 * MINUTE_US  # what a move is measured against
SPIKE, SPIKE_BASE_MINUTES = 6, 20  # times the mean volume of the minutes before

# arbitrage: one venue apart from the others for some seconds.
EPISODES = 4
EPISODE_SECONDS = (3, 9)
EDGE_BPS = (16.0, 29.0)  # a tick more or less stays within 15 to 30 bps

# risk: one trader buys and buys, then the price falls.
BOUGHT_NOTIONAL = 4_000_000
FALL, FALL_SECONDS = -0.09, 60
FALL_MINUTE = 240

# Thresholds of the alerts that must follow (analytics.md 14-16).
LIMITS = {
    "price_move": 5.0,
    "volume_spike": 3.0,
    "arbitrage": 10.0,
    "position_notional": 1_000_000.0,
    "daily_pnl": -100_000.0,
}
TRUTH_SCHEMA = {
    "day": pl.Date,
    "rule": pl.String,
    "instrument_id": pl.String,
    "trader_id": pl.String,
    "buy_venue": pl.String,
    "sell_venue": pl.String,
    "start_us": pl.Int64,
    "end_us": pl.Int64,
    "value": pl.Float64,
    "threshold": pl.Float64,
}


@dataclass(frozen=True)
class Dislocation:
    """From `start_us` until `end_us` (us since epoch UTC) one venue's quotes stand apart.

    `above`: its bid is `edge_bps` above the offers of the other venues, else its offer that much
    below their bids. `venue` is an index into the market's venues, `stock` an active instrument.
    """

    start_us: int
    end_us: int
    stock: int
    venue: int
    above: bool
    edge_bps: float


def volatility_factors(plan: Plan, day: date, instruments: int, minutes: int) -> Floats:
    """Factor on the volatility of each (active instrument, minute of the session)."""
    factors = np.ones((instruments, minutes))
    if plan.scenario == "volatility":
        start = _wild_minute(plan, day)
        factors[WILD_STOCK, start : start + WILD_MINUTES] = WILD_FACTOR
    return factors


def jumps(plan: Plan, day: date) -> list[tuple[int, int, float]]:
    """Moves that the scenario adds: stock, second of the session, log return."""
    return [
        (stock, second, move / length)
        for stock, first, length, move in _moves(plan, day)
        for second in range(first, first + length)
    ]


def dislocations(plan: Plan, day: date) -> list[Dislocation]:
    """The day's arbitrage episodes in order of time, at least a minute apart."""
    if plan.scenario != "arbitrage" or len(plan.market.venues) < 2:
        return []
    rng = plan.rng("scenario", "arbitrage", day.isoformat())
    opened, closed = session_us(day)
    room = (closed - opened) // EPISODES
    episodes = []
    for number in range(EPISODES):
        # Half a minute before and after, so that an episode never meets the next or the close.
        start = opened + number * room + 30 * SECOND_US
        start += int(rng.integers(0, room // SECOND_US - 90)) * SECOND_US
        length = int(rng.integers(*EPISODE_SECONDS)) * SECOND_US
        stock = int(rng.integers(0, universe(plan).stocks))
        venue = int(rng.integers(0, len(plan.market.venues)))
        above, edge = bool(rng.random() < 0.5), float(rng.uniform(*EDGE_BPS))
        episodes.append(Dislocation(start, start + length, stock, venue, above, edge))
    return episodes


def bent_trades(plan: Plan, day: date, trades: pl.DataFrame) -> pl.DataFrame:
    """The day's trades (trades.trade_day) as the scenario has them.

    Raises ValueError where there are too few trades for what the scenario promises.
    """
    if plan.scenario == "volatility":
        _refuse_hidden_moves(plan, day, trades)
        return _with_volume_spike(plan, day, trades)
    if plan.scenario == "risk":
        return _with_accumulation(plan, day, trades)
    return trades


def truth(plan: Plan) -> pl.DataFrame:
    """One row for each alert that must follow. Columns: TRUTH_SCHEMA.

    The alert must be raised within `start_us` to `end_us` (us since epoch UTC). `value` is about
    what the rule will measure, beyond its `threshold`: price_move per cent, volume_spike times the
    mean of 20 minutes, arbitrage bps, position_notional and daily_pnl USD.
    """
    found = [row for day in plan.days for row in _alerts(plan, day)]
    return pl.DataFrame(found, schema=TRUTH_SCHEMA, orient="row")


def _alerts(plan: Plan, day: date) -> list[dict[str, object]]:
    if plan.scenario == "volatility":
        return _alerts_of_volatility(plan, day)
    if plan.scenario == "arbitrage":
        return _alerts_of_arbitrage(plan, day)
    return _alerts_of_risk(plan, day) if plan.scenario == "risk" else []


def _alerts_of_volatility(plan: Plan, day: date) -> list[dict[str, object]]:
    opened, _ = session_us(day)
    found = []
    for stock, first, _, move in _moves(plan, day):
        start = opened + first * SECOND_US
        times = (start, start + MOVE_REFERENCE_US)
        found.append(_alert(plan, day, "price_move", times, 100 * np.expm1(move), stock))
    start = _spike_us(plan, day)
    times = (start, start + MINUTE_US)
    found.append(_alert(plan, day, "volume_spike", times, SPIKE, WILD_STOCK))
    return found


def _alerts_of_arbitrage(plan: Plan, day: date) -> list[dict[str, object]]:
    found = []
    venues = plan.market.venues
    for episode in dislocations(plan, day):
        times = (episode.start_us, episode.end_us)
        for other in venues[: episode.venue] + venues[episode.venue + 1 :]:
            pair = (other, venues[episode.venue])
            buy, sell = pair if episode.above else pair[::-1]
            row = _alert(plan, day, "arbitrage", times, episode.edge_bps, episode.stock)
            found.append(row | {"buy_venue": buy, "sell_venue": sell})
    return found


def _alerts_of_risk(plan: Plan, day: date) -> list[dict[str, object]]:
    opened, _ = session_us(day)
    stock, trader = _accumulated(plan, day)
    [(_, first, length, move)] = _moves(plan, day)
    fall = opened + first * SECOND_US
    who = {"trader_id": f"TRADER_{trader:02d}"}
    bought = _alert(plan, day, "position_notional", (opened, fall), BOUGHT_NOTIONAL, stock)
    # A trader's loss is over all that he holds.
    loss = BOUGHT_NOTIONAL * float(np.expm1(move))
    times = (fall, fall + (length + 60) * SECOND_US)
    lost = _alert(plan, day, "daily_pnl", times, loss, stock) | {"instrument_id": None}
    return [bought | who, lost | who]


def _alert(
    plan: Plan, day: date, rule: str, times: tuple[int, int], value: float, stock: int
) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(TRUTH_SCHEMA)
    return row | {
        "day": day,
        "rule": rule,
        "instrument_id": plan.market.stocks[stock].symbol,
        "start_us": times[0],
        "end_us": times[1],
        "value": float(value),
        "threshold": LIMITS[rule],
    }


def _moves(plan: Plan, day: date) -> list[tuple[int, int, int, float]]:
    """Sharp moves: stock, first second of the session, seconds it takes, log return."""
    if plan.scenario == "volatility":
        start = _wild_minute(plan, day)
        move = MOVE if plan.rng("scenario", "sign", day.isoformat()).random() < 0.5 else -MOVE
        # There and back, so that the day's return stays what it was drawn to be.
        return [
            (WILD_STOCK, (start + MOVE_MINUTE) * 60, MOVE_SECONDS, move),
            (WILD_STOCK, (start + REVERSAL_MINUTE) * 60, MOVE_SECONDS, -move),
        ]
    if plan.scenario == "risk":
        stock, _ = _accumulated(plan, day)
        return [(stock, FALL_MINUTE * 60, FALL_SECONDS, FALL)]
    return []


def _wild_minute(plan: Plan, day: date) -> int:
    """The first minute of the session in which the stock is wild."""
    rng = plan.rng("scenario", "volatility", day.isoformat())
    return int(rng.integers(*WILD_FROM_MINUTES))


def _spike_us(plan: Plan, day: date) -> int:
    """Start of the minute with the volume spike, us since epoch UTC: that of the first move."""
    return session_us(day)[0] + (_wild_minute(plan, day) + MOVE_MINUTE) * MINUTE_US


def _accumulated(plan: Plan, day: date) -> tuple[int, int]:
    """The stock that one trader buys up, and the trader's number from 1."""
    rng = plan.rng("scenario", "risk", day.isoformat())
    stock = int(rng.integers(0, universe(plan).stocks))
    return stock, int(rng.integers(1, plan.market.traders + 1))


def _with_volume_spike(plan: Plan, day: date, trades: pl.DataFrame) -> pl.DataFrame:
    """Trades of the spike's minute made so large that it has SPIKE times the usual volume."""
    start = _spike_us(plan, day)
    event, quantity = trades["event_us"].to_numpy(), trades["quantity"].to_numpy()
    mine = trades["active"].to_numpy() == WILD_STOCK
    spike = mine & _within(event, start, start + MINUTE_US)
    before = mine & _within(event, start - SPIKE_BASE_MINUTES * MINUTE_US, start)
    if not (spike.any() and before.any()):
        raise ValueError(_too_few(plan, day, WILD_STOCK, "has no trade in the spike or before it"))
    wanted = SPIKE * int(quantity[before].sum())
    factor = -(-wanted // (SPIKE_BASE_MINUTES * int(quantity[spike].sum())))
    larger = np.where(spike, quantity * max(1, factor), quantity)
    return trades.with_columns(quantity=pl.Series(larger))


def _refuse_hidden_moves(plan: Plan, day: date, trades: pl.DataFrame) -> None:
    """Raises ValueError where quotes or trades are too rare for a sharp move to be seen in time."""
    mine = trades.filter(pl.col("active") == WILD_STOCK)
    event, price = mine["event_us"].to_numpy(), mine["price"].to_numpy()
    summed = np.r_[0, np.cumsum(price)]
    first = np.searchsorted(event, event - MOVE_REFERENCE_US, side="left")
    before = np.searchsorted(event, event, side="left")
    count = np.maximum(before - first, 1)
    # In per cent of the mean of the five minutes before each trade.
    change = 100 * (price * count / np.maximum(summed[before] - summed[first], 1) - 1)
    for _, second, _, move in _moves(plan, day):
        start = session_us(day)[0] + second * SECOND_US
        timely = _within(event, start, start + MOVE_REFERENCE_US) & (before > first)
        if not (timely & (np.sign(move) * change > LIMITS["price_move"])).any():
            raise ValueError(_too_few(plan, day, WILD_STOCK, "does not show its move in time"))


def _with_accumulation(plan: Plan, day: date, trades: pl.DataFrame) -> pl.DataFrame:
    """Purchases before the fall given to one trader, and his sales of the stock to another."""
    stock, trader = _accumulated(plan, day)
    fall = session_us(day)[0] + FALL_MINUTE * MINUTE_US
    event, buy = trades["event_us"].to_numpy(), trades["buy"].to_numpy()
    mine = trades["active"].to_numpy() == stock
    purchases = np.flatnonzero(mine & buy & (event < fall))
    quantity = trades["quantity"].to_numpy()[purchases]
    notional = np.cumsum(quantity) * trades["price"].to_numpy()[purchases]
    needed = int((notional <= BOUGHT_NOTIONAL * UNIT).sum()) + 1
    if needed > len(purchases):
        raise ValueError(
            _too_few(plan, day, stock, f"cannot be bought for {BOUGHT_NOTIONAL:,} USD")
        )
    numbers = trades["trader"].to_numpy().copy()
    numbers[mine & ~buy & (numbers == trader)] = trader % plan.market.traders + 1
    numbers[purchases[:needed]] = trader
    return trades.with_columns(trader=pl.Series(numbers))


def _within(event_us: Ints, start: int, end: int) -> Bools:
    inside: Bools = (event_us >= start) & (event_us < end)
    return inside


def _too_few(plan: Plan, day: date, stock: int, why: str) -> str:
    symbol = plan.market.stocks[stock].symbol
    return (
        f"scenario {plan.scenario}: {symbol} {why} on {day.isoformat()} "
        f"(the day has {plan.share_of(plan.quotes, day):,} quotes and "
        f"{plan.share_of(plan.trades, day):,} trades); ask for more of both"
    )
