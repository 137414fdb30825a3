"""Reddit's posts land once each, however they are polled for: praw over real sockets."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import Landing
from ingestion.sources.reddit import Missed, tickers
from ingestion.sources.vendor import VendorAway, VendorRefused
from ingestion.vendors import land_reddit, wire_again
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.reddit_server import CLIENT_SECRET, Answer, Reddit, reddit_server

REPOSITORY = Path(__file__).resolve().parents[2]
START = 1_759_400_000


@pytest.fixture(scope="module")
def server() -> Iterator[Reddit]:
    with reddit_server() as started:
        yield started


@pytest.fixture
def site(server: Reddit) -> Reddit:
    """The site with nothing on it yet."""
    server.posts.clear()
    server.private.clear()
    server.instead.clear()
    server.asked.clear()
    return server


@pytest.fixture
def settings(site: Reddit, tmp_path: Path) -> Settings:
    return lake(site, tmp_path)


def lake(site: Reddit, root: Path, **environment: str) -> Settings:
    return load_settings({"LAKE_URI": str(root), **site.environment(), **environment})


def land(settings: Settings, *subreddits: str) -> tuple[int, int]:
    landing, missed = land_reddit(settings, subreddits or ["stocks"])
    assert missed == []
    return landing.ok, landing.rejected


def rows(settings: Settings) -> list[dict[str, Any]]:
    found = bronze_rows.rows(layout(settings).bronze("posts"))
    return sorted(found, key=lambda row: (row["unit"], row["position"]))


def names(settings: Settings) -> list[str]:
    return [row["post_id"] for row in rows(settings)]


def test_posts_land_as_they_are_written_in_the_order_in_which_they_were_made(
    site: Reddit, settings: Settings
) -> None:
    plain = site.post("stocks", title="Nothing of note", score=-3)
    rich = site.post("stocks", title="Long $TSLA", selftext="and AAPL, says the CEO", score=41)
    gone = site.post("stocks", title="Was here", selftext="[removed]", author="[deleted]")
    before = time.time_ns()
    assert land(settings) == (3, 0)
    columns = ("platform", "post_id", "event_ts_ns", "author", "text", "score", "tickers",
               "unit", "position", "source")  # fmt: skip
    end = ("reddit:stocks", "reddit")
    assert [tuple(row[c] for c in columns) for row in rows(settings)] == [
        ("reddit", plain["name"], START * 10**9, plain["author"], "Nothing of note", -3, [],
         end[0], 0, end[1]),
        ("reddit", rich["name"], (START + 1) * 10**9, rich["author"],
         "Long $TSLA\n\nand AAPL, says the CEO", 41, ["TSLA", "AAPL"], end[0], 1, end[1]),
        ("reddit", gone["name"], (START + 2) * 10**9, None, "Was here", gone["score"], [],
         end[0], 2, end[1]),
    ]  # fmt: skip
    assert all(before <= row["recv_ts_ns"] <= time.time_ns() for row in rows(settings))
    assert all("ticklake" in agent for agent in site.agents)


def test_only_new_posts_land_when_it_is_polled_again(site: Reddit, settings: Settings) -> None:
    made = [site.post("stocks")["name"] for _ in range(250)]
    assert land(settings) == (250, 0)
    assert land(settings) == (0, 0)
    made += [site.post("stocks")["name"] for _ in range(3)]
    assert land(settings) == (3, 0)
    assert names(settings) == made
    assert [row["position"] for row in rows(settings)] == [*range(253)]


def test_more_than_a_page_between_two_polls_is_read_to_where_it_was_left(
    site: Reddit, settings: Settings
) -> None:
    made = [site.post("stocks")["name"] for _ in range(120)]
    land(settings)
    made += [site.post("stocks")["name"] for _ in range(480)]
    site.asked.clear()
    assert land(settings) == (480, 0)
    assert names(settings) == made
    assert len(site.asked) == 6  # 480 new ones, and a hundred that were known
    assert land(settings) == (0, 0)


def test_a_post_that_is_let_through_late_among_older_ones_lands_too(
    site: Reddit, settings: Settings
) -> None:
    made = [site.post("stocks")["name"] for _ in range(50)]
    land(settings)
    late = site.post("stocks", created_utc=START + 20.5)["name"]
    assert land(settings) == (1, 0)
    assert names(settings) == [*made, late]
    assert rows(settings)[-1]["event_ts_ns"] == START * 10**9 + 20_500_000_000


def test_what_lies_beyond_the_reach_of_the_listing_is_said_to_be_missing(
    site: Reddit, settings: Settings
) -> None:
    for _ in range(10):
        site.post("stocks")
    land(settings)
    made = [site.post("stocks")["name"] for _ in range(1_100)]
    landing, missed = land_reddit(settings, ["stocks"])
    assert landing.ok == 1_000
    assert names(settings)[10:] == made[100:]
    after = datetime.fromtimestamp(START + 9, UTC)
    before = datetime.fromtimestamp(START + 110, UTC)
    assert missed == [Missed("stocks", after, before)]
    assert land(settings) == (0, 0)


def test_a_bad_post_is_kept_once_with_its_fields_and_the_others_land(
    site: Reddit, settings: Settings
) -> None:
    site.post("stocks")
    bad = site.post("stocks", title=7)
    site.post("stocks", created_utc=4e9)  # in the future
    assert land(settings) == (1, 2)
    assert land(settings) == (0, 0)
    codes = [row["reject_code"] for row in rows(settings)]
    assert codes == [None, "SCHEMA_TYPE", "FUTURE_TS"]
    assert json.loads(rows(settings)[1]["raw"]) == bad
    again = wire_again(settings, "reddit:stocks")
    assert again is not None
    assert json.loads(again(rows(settings)[1]["raw"]))["text"] == 7  # as it was judged


def test_it_waits_for_a_reddit_that_is_busy_or_out_of_order(
    site: Reddit, settings: Settings
) -> None:
    made = [site.post("stocks")["name"] for _ in range(150)]
    site.instead.extend(
        [Answer(429, {"Retry-After": "1"}), None, Answer(200, {}, "<html>"), Answer(200, {}, "{}")]
    )
    began = time.monotonic()
    assert land(settings) == (150, 0)
    assert time.monotonic() - began >= 1
    assert names(settings) == made


def test_when_patience_ends_nothing_is_landed_twice_and_nothing_is_lost(
    site: Reddit, tmp_path: Path
) -> None:
    impatient = lake(site, tmp_path, TICKLAKE_VENDOR_PATIENCE="0")
    made = [site.post("stocks")["name"] for _ in range(250)]
    site.instead.extend([None, None, Answer(429)])
    with pytest.raises((VendorAway, VendorRefused), match="too many requests"):
        land(impatient)
    assert land(impatient) == (250, 0)
    assert names(impatient) == made


def test_a_subreddit_that_cannot_be_read_is_named_and_the_others_land(
    site: Reddit, settings: Settings
) -> None:
    site.post("stocks")
    site.post("hidden")
    site.private.add("hidden")
    with pytest.raises(VendorRefused, match=r"r/hidden.*\n?.*r/nowhere"):
        land(settings, "hidden", "nowhere", "stocks")
    assert len(names(settings)) == 1
    with pytest.raises(VendorRefused, match="write it without r/"):
        land(settings, "r/stocks")


def test_a_wrong_or_missing_key_is_told_without_showing_it(site: Reddit, tmp_path: Path) -> None:
    wrong = lake(site, tmp_path, TICKLAKE_REDDIT_CLIENT_SECRET="wrong-" + CLIENT_SECRET)
    with pytest.raises(VendorRefused, match="check TICKLAKE_REDDIT_CLIENT_ID") as refused:
        land(wrong)
    assert CLIENT_SECRET not in str(refused.value)
    assert CLIENT_SECRET not in repr(wrong)
    with pytest.raises(VendorRefused, match="set TICKLAKE_REDDIT_CLIENT_ID"):
        land(lake(site, tmp_path, TICKLAKE_REDDIT_CLIENT_ID=""))


def test_polling_goes_on_over_an_expired_token_and_a_reddit_that_is_away(
    site: Reddit, tmp_path: Path
) -> None:
    settings = lake(site, tmp_path, TICKLAKE_REDDIT_POLL="1", TICKLAKE_VENDOR_PATIENCE="0")
    stopped = threading.Event()
    told: list[tuple[Landing, list[Missed]]] = []
    made = [site.post("stocks")["name"]]
    polling = threading.Thread(
        target=lambda: told.append(land_reddit(settings, ["stocks"], stopped)), daemon=True
    )
    polling.start()
    until(lambda: names(settings) == made)
    site.expire()
    made.append(site.post("stocks")["name"])
    until(lambda: names(settings) == made)
    site.instead.append(Answer(429))
    made.append(site.post("stocks")["name"])
    until(lambda: names(settings) == made)
    stopped.set()
    polling.join(10)
    assert [(landing.ok, missed) for landing, missed in told] == [(3, [])]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for half a minute at most."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


KILLED = """
import json, os, sys
from ingestion.vendors import land_reddit
from lake.settings import load_settings

for fault, environment in json.load(sys.stdin).items():
    child = os.fork()
    if not child:
        os.environ.update(environment, TICKLAKE_FAULT=fault)
        land_reddit(load_settings(), ["stocks", "bonds"])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_at_any_step_it_lands_each_post_once(site: Reddit, tmp_path: Path) -> None:
    stocks = [site.post("stocks")["name"] for _ in range(130)]
    bonds = [site.post("bonds")["name"] for _ in range(20)]
    points = {"land.consumed:2": 130, "bronze.files_synced:1": 0, "bronze.committed:1": 130}
    lakes = {
        point: {"LAKE_URI": str(tmp_path / str(n)), **site.environment()}
        for n, point in enumerate(points)
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=REPOSITORY,
        env=dict(os.environ),
        input=json.dumps(lakes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(points), done.stderr
    for point, landed in points.items():
        settings = load_settings(lakes[point])
        assert len(names(settings)) == landed
        assert land(settings, "stocks", "bonds") == (150 - landed, 0)
        assert names(settings) == [*bonds, *stocks]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("$TSLA to the moon, $TSLA!", ["TSLA"]),
        ("AAPL beats MSFT", ["AAPL", "MSFT"]),
        ("I AM THE CEO OF NVDA", ["NVDA"]),
        ("paid US$AMD or $1000, not $tsla or $TOOLONG", []),
        ("($GME) (AAPL's) $BRK", ["GME", "AAPL", "BRK"]),
        ("AAPLE METAL", []),
    ],
)
def test_a_ticker_counts_with_a_dollar_or_when_it_is_on_the_list(
    text: str, named: list[str]
) -> None:
    assert tickers(text, ["AAPL", "MSFT", "NVDA", "META"]) == named
