"""Posts: how many, when, about what, and in which tone."""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from ingestion.generate import posts
from ingestion.generate.plan import Plan
from ingestion.generate.prices import daily

NEW_YORK = ZoneInfo("America/New_York")
# Four weeks of trading days, over the change to winter time.
DAYS = tuple(
    day
    for day in (date(2025, 10, 13) + timedelta(days=number) for number in range(28))
    if day.weekday() < 5
)
PLAN = Plan(seed=4, days=DAYS, quotes=4_000, trades=0, securities=1_000, posts=30)
GOOD, BAD = set(posts.PHRASES[posts.POSITIVE]), set(posts.PHRASES[posts.NEGATIVE])


@cache
def made(plan: Plan = PLAN) -> pl.DataFrame:
    return pl.concat(
        [
            frame.with_columns(day=pl.lit(day))
            for day in plan.days
            for frame in posts.rows(plan, day)
        ]
    )


def local(row: dict[str, int]) -> datetime:
    return datetime.fromtimestamp(row["event_us"] / 1e6, UTC).astimezone(NEW_YORK)


def tone(text: str) -> int:
    return any(phrase in text for phrase in GOOD) - any(phrase in text for phrase in BAD)


def test_posts_are_poisson_around_the_mean_asked_for() -> None:
    counts = made().group_by("day", pl.col("tickers").list.first()).len()["len"].to_numpy()
    assert len(counts) == 20 * 8
    # Standard error of the mean: sqrt(30 / 160) = 0.43; of the variance: about 3.4.
    assert counts.mean() == pytest.approx(30, abs=2)
    assert counts.var(ddof=1) == pytest.approx(30, abs=13)


def test_a_post_falls_into_its_new_york_day_at_every_hour() -> None:
    hours = Counter()
    for row in made().iter_rows(named=True):
        at = local(row)
        assert at.date() == row["day"]
        hours[at.hour] += 1
    assert set(hours) == set(range(24))
    assert hours[9] > 4 * hours[3]


def test_a_post_names_its_stock_by_cashtag_and_has_a_unique_id() -> None:
    symbols = {stock.symbol for stock in PLAN.market.stocks}
    for row in made().iter_rows(named=True):
        assert re.findall(r"\$([A-Z]{1,5})", row["text"]) == row["tickers"]
        assert set(row["tickers"]) <= symbols
        assert not set(row["text"]) & {'"', "\\"}
    assert made().select("platform", "post_id").is_unique().all()
    assert set(made()["platform"]) == {"reddit", "twitter", "stocktwits"}


def test_scores_are_heavy_tailed_and_sometimes_negative() -> None:
    scores = made()["score"]
    assert scores.median() <= 5
    assert scores.max() > 500
    assert 0.02 < (scores < 0).mean() < 0.05


def test_the_mean_tone_of_a_session_follows_its_sentiment() -> None:
    sentiment = daily(PLAN).sentiment
    symbols = [stock.symbol for stock in PLAN.market.stocks]
    tones: dict[tuple[int, int], list[int]] = {}
    for row in made().iter_rows(named=True):
        # A post from the close on belongs to the next session (analytics.md 20).
        session = DAYS.index(row["day"]) + (local(row).hour >= 16)
        if session < len(DAYS):
            key = (session, symbols.index(row["tickers"][0]))
            tones.setdefault(key, []).append(tone(row["text"]))
    means = np.array([np.mean(tones[key]) for key in tones])
    expected = np.array([sentiment[key] for key in tones])
    slope, shift = np.polyfit(expected, means, 1)
    # Of a tone of S, the neutral 40 % show nothing: 0.6 S.
    assert slope == pytest.approx(0.6, abs=0.12)
    assert shift == pytest.approx(0, abs=0.04)
    assert np.corrcoef(expected, means)[0, 1] > 0.7
