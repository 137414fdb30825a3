"""Trades at, inside or outside the latest quote of their instrument, and their faults."""

from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate import encode, faults, market
from ingestion.generate.market import Ints
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.quotes import VENUES, quote_day, sequence_within
from ingestion.generate.universe import universe

TRADERS = 20
TOUCH_SHARE, INSIDE_SHARE = 0.88, 0.08  # the rest is outside
MAX_TICKS_OUTSIDE = 3
REACTION_US = (1_000, 800_000.0, 5_000_000)  # least, mean, most after the quote that prompts it
MEDIAN_STOCK, MEDIAN_BOND_LOTS, BOND_LOT, MAX_LOTS = 100, 250, 1_000, 10_000

KEYS = [
    "tradeId",
    "instrumentId",
    "price",
    "quantity",
    "timestamp",
    "buySellIndicator",
    "trader",
    "venue",
    "sequence",
]


def trade_messages(plan: Plan, day: date) -> pl.DataFrame:
    """The day's messages in arrival order, faulty and duplicate ones included.

    Columns: key, value (binary), recv_ts_ms, trade_id (null where unreadable), fault (or null).
    """
    of_day = faults.counts_of_day(plan, day)
    count = plan.split(plan.trades)[plan.position(day)] - of_day[faults.DUPLICATE]
    rng = plan.rng("faults", day.isoformat())
    trades = _sound_trades(plan, day, count).hstack(faults.assign(rng, count, of_day))
    happened = trades["event_us"].to_numpy()
    trades = faults.damage_values(trades)
    recv = market.received_ms(happened, trades["delay_ms"].to_numpy())
    wire = faults.damage_members(_wire(trades)).with_columns(value=encode.json_text(KEYS))
    messages = faults.damage_text(wire).select(
        "key",
        "value",
        recv_ts_ms=pl.Series(recv),
        trade_id=faults.readable_trade_id(),
        fault="fault",
    )
    repeated, later = faults.originals(rng, messages["fault"], of_day[faults.DUPLICATE])
    copies = messages[repeated].with_columns(
        recv_ts_ms=pl.col("recv_ts_ms") + pl.Series(later),
        fault=pl.lit(faults.DUPLICATE),
    )
    messages = messages.vstack(copies)
    return messages[market.arrival_order(messages["recv_ts_ms"].to_numpy())]


def _sound_trades(plan: Plan, day: date, count: int) -> pl.DataFrame:
    """`count` trades in event order, none of them faulty yet."""
    rng = plan.rng("trades", day.isoformat())
    quotes = _two_sided(plan, day)
    row, event_us, stock = _moments(rng, day, quotes, count)
    latest = _latest_before(quotes, row, event_us)
    buy = rng.random(count) < 0.5
    price = _prices(rng, latest, buy)
    venue = np.where(stock, latest["dealer"].to_numpy() % len(VENUES), -1)
    number = pl.int_range(1, count + 1, eager=True).cast(pl.String).str.zfill(7)
    return pl.DataFrame(
        {
            "trade_id": pl.select(pl.concat_str(pl.lit(f"TRD_{day:%Y%m%d}_"), number)).to_series(),
            "event_us": event_us,
            "is_stock": stock,
            "price": price,
            "quantity": _quantities(rng, stock),
            "buy": buy,
            "trader": rng.integers(1, TRADERS + 1, count),
            "venue": venue,
            "sequence": sequence_within(venue),
            "delay_ms": market.arrival_delay_ms(rng, count),
            "instrument_id": latest["instrument_id"],
            "places": latest["places"],
        }
    )


def _two_sided(plan: Plan, day: date) -> pl.DataFrame:
    """The day's two-sided quotes by instrument and time, with what is known of the instrument."""
    quotes = quote_day(plan, day).filter(pl.col("withdrawn") == 0)
    order = np.lexsort((quotes["event_us"].to_numpy(), quotes["row"].to_numpy()))
    quotes = quotes[order]
    facts = universe(plan).frame.select("instrument_id", "is_stock", "places", "tick")
    return quotes.hstack(facts[quotes["row"]])


def _moments(
    rng: np.random.Generator, day: date, quotes: pl.DataFrame, count: int
) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Instrument, time and class of each trade, in event order.

    Each trade answers a quote drawn at random, so trading is busy where and when quoting is.
    Raises ValueError where no quote leaves time for an answer before the close.
    """
    least, mean, most = REACTION_US
    _, closed = session_us(day)
    event = quotes["event_us"].to_numpy()
    prompting = np.flatnonzero(event < closed - most)
    if count and not len(prompting):
        raise ValueError(f"generator: {day} has trades but no quote to trade on; ask for more")
    prompt = prompting[rng.integers(0, len(prompting), count)] if count else prompting[:0]
    stock = quotes["is_stock"].to_numpy()[prompt]
    reaction = np.clip(rng.exponential(mean, count), least, most - 1).astype(np.int64)
    # Bonds are stamped in whole milliseconds.
    answer = event[prompt] + np.where(stock, reaction, reaction // 1000 * 1000)
    order = np.argsort(answer, kind="stable")
    return quotes["row"].to_numpy()[prompt][order], answer[order], stock[order]


def _latest_before(quotes: pl.DataFrame, row: Ints, event_us: Ints) -> pl.DataFrame:
    """For each trade the last quote of its instrument strictly before it; there is always one."""
    quoted_us = quotes["event_us"].to_numpy()
    first = quoted_us.min(initial=np.iinfo(np.int64).max)  # a day may have no quotes
    # One sortable number: the instrument above, the microseconds of a session below.
    key = (quotes["row"].to_numpy() << 40) + (quoted_us - first)
    wanted = (row << 40) + (event_us - first)
    latest: Ints = np.searchsorted(key, wanted, side="left") - 1
    return quotes[latest]


def _prices(rng: np.random.Generator, latest: pl.DataFrame, buy: npt.NDArray[np.bool_]) -> Ints:
    """Price in units of 0.0001: a buyer pays the offer, a seller gets the bid, give or take."""
    bid, offer, tick = (latest[name].to_numpy() for name in ("bid", "offer", "tick"))
    count = len(latest)
    spread = (offer - bid) // tick
    place = rng.random(count)
    inward = np.where(spread > 1, 1 + (rng.random(count) * (spread - 1)).astype(np.int64), 0)
    outward = rng.integers(1, MAX_TICKS_OUTSIDE + 1, count)
    improvement = np.where(
        place < TOUCH_SHARE, 0, np.where(place < TOUCH_SHARE + INSIDE_SHARE, inward, -outward)
    )
    price: Ints = np.where(buy, offer - improvement * tick, bid + improvement * tick)
    return price


def _quantities(rng: np.random.Generator, stock: npt.NDArray[np.bool_]) -> Ints:
    """Shares, or face value in thousands: lognormal about 100 shares and 250,000 face."""
    draw = rng.lognormal(0.0, 1.0, len(stock))
    lots = np.rint(draw * np.where(stock, MEDIAN_STOCK, MEDIAN_BOND_LOTS))
    whole = np.clip(lots, 1, MAX_LOTS).astype(np.int64)
    return whole * np.where(stock, 1, BOND_LOT)


def _wire(trades: pl.DataFrame) -> pl.DataFrame:
    """JSON text of every value; venue and sequence are null, so left out, for bonds."""
    stock = pl.col("is_stock")
    width = pl.when(stock).then(encode.MICROSECOND_TEXT).otherwise(encode.MILLISECOND_TEXT)
    venues = pl.Series(VENUES).gather(np.maximum(trades["venue"].to_numpy(), 0))
    side = pl.when("buy").then(pl.lit("B")).otherwise(pl.lit("S"))
    trader = pl.concat_str(pl.lit("TRADER_"), pl.col("trader").cast(pl.String).str.zfill(2))
    price = encode.decimal_text(pl.col("price"), pl.col("places"))
    return trades.select(
        "trade_id",
        "fault",
        "variant",
        "amount",
        key=pl.col("instrument_id").cast(pl.Binary),
        tradeId=encode.quoted(pl.col("trade_id")),
        instrumentId=encode.quoted(pl.col("instrument_id")),
        price=pl.concat_str("sign", price),
        quantity=pl.col("quantity").cast(pl.String),
        timestamp=encode.time_text(pl.col("event_us"), width),
        buySellIndicator=encode.quoted(side),
        trader=encode.quoted(trader),
        venue=pl.when(stock).then(encode.quoted(pl.lit(venues))),
        sequence=pl.when(stock).then(pl.col("sequence").cast(pl.String)),
    )
