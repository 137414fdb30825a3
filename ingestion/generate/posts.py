"""Social posts (R8): what people write about the stocks, in the tone of the day's sentiment.

A post from the close on speaks of the next session (analytics.md 20), so it has that day's tone.
What a tone does to the next day's volatility is settled in prices.daily, not here.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ingestion.generate import clock
from ingestion.generate.clock import Floats, Ints
from ingestion.generate.encode import Form
from ingestion.generate.plan import BLOCK_ROWS, NEW_YORK, Plan, session_us
from ingestion.generate.prices import daily
from ingestion.generate.universe import universe

FORM = Form("posts", time="epoch_ms")
PLATFORMS = ("reddit", "twitter", "stocktwits")
PLATFORM_SHARES = (0.3, 0.5, 0.2)
AUTHORS = 2_000
NEUTRAL_SHARE = 0.4
NEGATIVE_SCORES = 0.05
# Posts an hour of the New York day, midnight first, relative to each other.
_BUSY = (2, 1, 1, 1, 1, 2, 4, 6, 9, 12, 11, 9, 8, 8, 9, 11, 10, 7, 6, 5, 5, 4, 3, 2)

NEGATIVE, NEUTRAL, POSITIVE = range(3)
PHRASES = (
    (
        "missed earnings badly and guidance was cut",
        "losing market share, this is a weak quarter",
        "got downgraded again, the losses keep growing",
        "looks terrible here, I am selling everything",
        "faces another lawsuit, bad news for holders",
        "margins are falling and debt is a problem",
        "is overvalued and the decline is not over",
        "warned about demand, I fear a crash",
        "disappointing numbers, a big loss on the year",
        "ugly chart, breaking down on heavy selling",
    ),
    (
        "reports on Thursday, watching the open",
        "trading sideways, no position for now",
        "volume is about average today",
        "anyone listening to the call later",
        "shares closed near the middle of the range",
        "the annual meeting is next month",
        "options expire on Friday, just observing",
        "filed its quarterly report this morning",
        "what is the consensus for the quarter",
        "back at the level of last week",
    ),
    (
        "beat earnings and raised guidance, great quarter",
        "gaining market share, strong growth ahead",
        "got upgraded today, record profit again",
        "looks excellent here, I am buying more",
        "won a huge contract, good news for holders",
        "margins are improving and cash flow is strong",
        "is undervalued, the rally has just started",
        "demand is booming, I love this company",
        "impressive numbers, best profit in years",
        "beautiful chart, breaking out on strong buying",
    ),
)
CLOSINGS = (
    "",
    " - my take",
    ". Not advice",
    ". Thoughts?",
    ". Holding period one year",
    ". Posted from the desk",
)


def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
    """The posts of one day, midnight to midnight in New York, in arrival order.

    Poisson(`plan.posts`) for each stock; `score` counts engagement and is seldom negative.
    """
    rng = plan.rng("posts", day.isoformat())
    count = rng.poisson(plan.posts, universe(plan).stocks)
    total = int(count.sum())
    stock = np.repeat(np.arange(len(count)), count)
    event = _moments_us(rng, day, total)
    order = np.argsort(event, kind="stable")
    stock, event = stock[order], event[order]
    tone = _tones(rng, _sentiment(plan, day, stock, event))
    symbols = pl.Series([known.symbol for known in plan.market.stocks]).gather(stock)
    platform = rng.choice(len(PLATFORMS), total, p=PLATFORM_SHARES)
    recv = clock.received_ms(event, clock.arrival_delay_ms(rng, total))
    posts = pl.DataFrame(
        {
            "platform": pl.Series(PLATFORMS).gather(platform),
            "post_id": f"P{day:%Y%m%d}_" + _padded(np.arange(1, total + 1), 6),
            "event_us": event,
            "author": "user_" + _padded((AUTHORS * rng.random(total) ** 2).astype(np.int64), 4),
            "text": _texts(rng, symbols, tone),
            "score": _scores(rng, total),
            "tickers": symbols.reshape((total, 1)).arr.to_list() if total else [],
            "recv_ms": recv,
        },
        schema_overrides={"tickers": pl.List(pl.String)},
    )
    yield from posts[clock.arrival_order(recv)].iter_slices(BLOCK_ROWS)


def _moments_us(rng: np.random.Generator, day: date, count: int) -> Ints:
    """Whole milliseconds of the New York day, as dense as each hour is busy, in us."""
    first = int(datetime.combine(day, time(), NEW_YORK).timestamp())
    last = int(datetime.combine(day + timedelta(days=1), time(), NEW_YORK).timestamp())
    share = np.r_[0.0, np.cumsum(_BUSY) / np.sum(_BUSY)]
    u = np.interp(rng.random(count), share, np.linspace(0.0, 1.0, len(share)))
    return (first * 1000 + (u * (last - first) * 1000).astype(np.int64)) * 1000


def _sentiment(plan: Plan, day: date, stock: Ints, event_us: Ints) -> Floats:
    """S of the session that each post belongs to; 0 where that one is not in the plan."""
    known = daily(plan).sentiment
    position = plan.position(day)
    after = np.zeros(known.shape[1])
    if position + 1 < len(known):
        after = known[position + 1]
    _, closed = session_us(day)
    sentiment: Floats = np.where(event_us < closed, known[position][stock], after[stock])
    return sentiment


def _tones(rng: np.random.Generator, sentiment: Floats) -> Ints:
    """A tone for each post whose mean, from -1 to 1, is (1 - NEUTRAL_SHARE) x sentiment."""
    place = rng.random(len(sentiment))
    positive = (1 - NEUTRAL_SHARE) * (1 + sentiment) / 2
    return np.where(
        place < NEUTRAL_SHARE,
        NEUTRAL,
        np.where(place < NEUTRAL_SHARE + positive, POSITIVE, NEGATIVE),
    )


def _texts(rng: np.random.Generator, symbols: pl.Series, tone: npt.NDArray[np.int64]) -> pl.Series:
    each = len(PHRASES[0])
    phrases = pl.Series([phrase for of_tone in PHRASES for phrase in of_tone])
    phrase = phrases.gather(tone * each + rng.integers(0, each, len(tone)))
    closing = pl.Series(CLOSINGS).gather(rng.integers(0, len(CLOSINGS), len(tone)))
    return "$" + symbols + " " + phrase + closing


def _scores(rng: np.random.Generator, count: int) -> Ints:
    """Heavy tailed: half below 5, some in the thousands; a few are voted down."""
    score = np.floor(rng.lognormal(np.log(5.0), 1.7, count)).astype(np.int64)
    disliked = rng.random(count) < NEGATIVE_SCORES
    return np.where(disliked, -np.minimum(score, 50), score)


def _padded(numbers: Ints, width: int) -> pl.Series:
    return pl.Series(numbers).cast(pl.String).str.zfill(width)
