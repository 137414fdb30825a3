"""Posts, mentions and daily sentiment (analytics.md 20)."""

from datetime import date, datetime
from itertools import count
from math import log
from statistics import mean, stdev
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from tests.desk import Desk

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

NEW_YORK = ZoneInfo("America/New_York")
_NUMBERS = count()
GOOD, BAD, PLAIN = (
    "great quarter, strong growth",
    "terrible loss, I fear a crash",
    "volume is average",
)


def post(symbol: str, at: str, text: str = GOOD, **more: Any) -> dict[str, Any]:
    """A post on the wire; `at` is a wall clock in New York."""
    moment = datetime.fromisoformat(at).replace(tzinfo=NEW_YORK)
    number = next(_NUMBERS)
    return {
        "platform": "reddit",
        "post_id": f"P{number}",
        "created": round(moment.timestamp() * 1000),
        "author": f"user_{number}",
        "text": f"${symbol} {text}",
        "score": 3,
        "tickers": [],
        **more,
    }


def security(instrument: str, as_of: str = "2025-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    stated = {"cusip": None, "isin": None, "marketSegment": "EQ", "issuer": "I", "asOf": as_of}
    return {"instrumentId": instrument, "securityName": "Share", **stated, **more}


SERIES = [date(2025, 10, day) for day in (1, 2, 3, 6, 7, 8, 9, 10)]
SAID = {  # posts of SER by session: (text, votes)
    SERIES[0]: [(GOOD, 0), (BAD, 100)],
    SERIES[1]: [(PLAIN, -5)],
    SERIES[3]: [(GOOD, 7), (GOOD, 1), (BAD, 0)],
    SERIES[7]: [(BAD, 2)],
}


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """One lake: a master, and posts under a symbol for each case."""
    shared_desk.land("securities", [security(name) for name in ("SER", "OTHER", "CUT", "DUP", "A")])
    shared_desk.land(
        "securities", [security("GONE"), security("GONE", "2025-10-02T16:00:00Z", status="DELETED")]
    )
    series = [
        post("SER", f"{day}T10:00:00", text, score=votes)
        for day, said in SAID.items()
        for text, votes in said
    ]
    others = [post("OTHER", f"{day}T11:00:00", PLAIN) for day in SERIES]
    cut = [
        post("CUT", at)
        for at in (
            "2025-10-01T15:59:59.999",
            "2025-10-01T16:00:00",
            "2025-10-03T18:00:00",  # Friday after the close
            "2025-10-05T12:00:00",  # Sunday
            "2025-11-26T16:00:00",  # the evening before Thanksgiving
            "2025-11-28T12:59:59",  # closes at 13:00
            "2025-11-28T13:00:00",
        )
    ]
    same = {"author": "bot", "text": "buy now"}
    once = post("DUP", "2025-10-01T10:00:00", author="first")
    doubles = [
        once,
        once | {"score": 99},
        post("DUP", "2025-10-01T11:00:00", **same),
        post("DUP", "2025-10-02T11:00:00", **same),
        post("DUP", "2025-10-03T11:00:01", **same),
        post("DUP", "2025-10-02T11:00:00", **(same | {"author": "other"})),
        post("DUP", "2025-10-02T12:00:00") | {"text": "RT @you: $DUP to the moon"},
    ]
    named = [
        post("GONE", "2025-10-02T11:59:59"),
        post("GONE", "2025-10-02T12:00:00"),
        post("A", "2025-10-02T12:00:00")
        | {"text": "$A,$NOPE $TOOLONG $a A", "tickers": ["A", "SER"]},
    ]
    # SER is named in the last one too, in a session of its own tests: keep it out of them.
    named[2]["created"] += 90 * 86_400_000
    shared_desk.land("posts", [*series, *others, *cut, *doubles, *named])
    shared_desk.build("--select", "+gold.sentiment", "silver.posts")
    return shared_desk


def sessions_of(desk: Desk, symbol: str) -> list[str]:
    rows = desk.query(
        f"select session_date::varchar from silver.post_mentions where instrument_id = '{symbol}' "
        "order by event_ts_ns"
    )
    return [session for (session,) in rows]


def test_a_post_counts_for_the_session_that_closes_next(desk: Desk) -> None:
    assert sessions_of(desk, "CUT") == [
        "2025-10-01",
        "2025-10-02",
        "2025-10-06",
        "2025-10-06",
        "2025-11-28",
        "2025-11-28",
        "2025-12-01",
    ]


def test_a_post_is_counted_once_and_a_text_again_only_after_a_day(desk: Desk) -> None:
    found = desk.query(
        "select author, strftime(event_ts, '%d %H:%M:%S'), is_repeat, is_retweet, votes "
        "from silver.posts where text like '%$DUP%' order by event_ts_ns, author"
    )
    assert [row[:4] for row in found] == [
        ("first", "01 14:00:00", False, False),
        ("bot", "01 15:00:00", False, False),
        ("bot", "02 15:00:00", True, False),
        ("other", "02 15:00:00", False, False),
        (found[4][0], "02 16:00:00", False, True),
        ("bot", "03 15:00:01", False, False),
    ]
    assert found[0][4] == 3
    (counted,) = desk.query(
        "select sum(n_posts)::int, sum(n_retweets)::int from gold.sentiment_sessions "
        "where instrument_id = 'DUP'"
    )
    assert counted == (5, 1)


def test_only_symbols_that_the_master_knew_at_the_time_are_known(desk: Desk) -> None:
    assert desk.query(
        "select is_known from silver.post_mentions where instrument_id = 'GONE' order by event_ts"
    ) == [(True,), (False,)]
    named = desk.query(
        "select instrument_id, is_known from silver.post_mentions where post_key in "
        "(select post_key from silver.post_mentions where instrument_id = 'NOPE') order by 1"
    )
    assert named == [("A", True), ("NOPE", False), ("SER", True)]


def test_scores_are_those_of_vader(desk: Desk) -> None:
    from importlib.metadata import version

    scores = desk.query("select text, sentiment, scorer from silver.posts")
    rate = SentimentIntensityAnalyzer().polarity_scores
    assert len(scores) > 20
    for text, found, scorer in scores:
        assert float(found) == rate(text)["compound"]
        assert scorer == f"vader-{version('vaderSentiment')}"


def test_a_day_is_what_its_posts_say_and_a_day_without_posts_has_no_mean(desk: Desk) -> None:
    rate = SentimentIntensityAnalyzer().polarity_scores
    rows = desk.query(
        "select session_date, n_posts, mean, weighted_mean, positive_share, negative_share, "
        "dispersion, mean_lag_1, mean_lag_2, mean_lag_3, mean_lag_5, mean_of_3, mean_of_5, "
        "mean_of_10, abnormal_volume, n_posts_lag_1 from gold.sentiment_daily "
        f"where instrument_id = 'SER' and session_date <= date '{SERIES[-1]}' order by 1"
    )
    assert [row[0] for row in rows] == SERIES
    means: list[float | None] = []
    for place, (session, n, *found) in enumerate(rows):
        said = [(rate(f"$SER {text}")["compound"], votes) for text, votes in SAID.get(session, [])]
        scores = [score for score, _ in said]
        weights = [log(1 + max(votes, 0)) + 1 for _, votes in said]
        means.append(mean(scores) if scores else None)

        def lag(sessions: int, at: int = place) -> float | None:
            return means[at - sessions] if at >= sessions else None

        def rolling(sessions: int, at: int = place) -> float | None:
            window = [m for m in means[max(at - sessions + 1, 0) : at + 1] if m is not None]
            return mean(window) if window else None

        expected = [
            means[-1],
            sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)
            if said
            else None,
            sum(s > 0.05 for s in scores) / len(said) if said else None,
            sum(s < -0.05 for s in scores) / len(said) if said else None,
            stdev(scores) if len(said) > 1 else None,
            *(lag(sessions) for sessions in (1, 2, 3, 5)),
            *(rolling(sessions) for sessions in (3, 5, 10)),
            None,
            len(SAID.get(SERIES[place - 1], [])) if place else None,
        ]
        assert n == len(said)
        for one, other in zip(found, expected, strict=True):
            assert (one is None) is (other is None)
            assert one is None or one == pytest.approx(other, abs=1e-12)


def test_late_posts_and_a_late_security_give_what_a_full_build_gives(desk: Desk) -> None:
    late = [
        post("DUP", "2025-10-01T09:00:00", author="bot") | {"text": "$DUP buy now"},
        post("CUT", "2025-10-03T20:00:00", BAD),
        post("NEW", "2025-09-30T20:00:00"),
    ]
    desk.land("posts", late, unit="kafka:late/0")
    desk.land("securities", [security("NOPE")], unit="kafka:late/0")
    desk.build("--select", "+gold.sentiment", "silver.posts")
    repeats = desk.query("select count(*) from silver.posts where author = 'bot' and is_repeat")
    assert repeats == [(2,)]
    names = ["silver.posts_history", "silver.post_mentions", "gold.sentiment_sessions"]
    found = desk.fingerprints()
    desk.build("--full-refresh", "--select", "+gold.sentiment", "silver.posts")
    again = desk.fingerprints()
    assert [again[name] for name in names] == [found[name] for name in names]
    known = desk.query("select is_known from silver.post_mentions where instrument_id = 'NOPE'")
    assert known == [(True,)]
