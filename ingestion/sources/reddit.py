"""Reddit's new posts as a source: a subreddit is a unit, its posts are numbered as they landed.

Reddit lists the newest first and reaches about a thousand back; it knows no "since". So a poll
reads down the list until a hundred posts in a row are landed already, and lands the others, the
oldest first. Which are landed is read from the table, never from a file beside it. A post that a
moderator lets through late, among older ones, is found that way too.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from time import time_ns
from typing import Any

import polars as pl
import praw
import prawcore.exceptions as refusals
import structlog
from deltalake import DeltaTable

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.sources.base import Positions
from ingestion.sources.vendor import (
    LONGEST_MESSAGE,
    Later,
    Rows,
    VendorRefused,
    batch_of,
    patiently,
)
from lake.layout import layout
from lake.settings import Settings

log = structlog.get_logger()

SOURCE = "reddit"
PAGE = 100  # the most that Reddit gives at once
ENOUGH_KNOWN = 100  # posts in a row that are landed: what is older is, too
REMEMBERED = 2_000  # landed posts to compare with: twice what a listing reaches
GONE = ("[deleted]", "[removed]")
NAME = re.compile(r"[A-Za-z0-9_]{2,21}")
CASHTAG = re.compile(r"(?<![A-Za-z0-9$])\$([A-Z]{1,5})(?![A-Za-z0-9])")
WORD = re.compile(r"(?<![A-Za-z0-9$])[A-Z]{1,5}(?![A-Za-z0-9])")
_REFUSED = (
    refusals.Forbidden,
    refusals.NotFound,
    refusals.Redirect,
    refusals.UnavailableForLegalReasons,
)


@dataclass(frozen=True)
class Missed:
    """A poll did not reach down to what was landed: posts between the two may be missing."""

    subreddit: str
    after: datetime
    before: datetime


def reddit(settings: Settings) -> praw.Reddit:
    """A read-only client. Raises VendorRefused where the keys are not set."""
    client_id, secret = settings.reddit_client_id, settings.reddit_client_secret
    if not client_id or not secret or not client_id.get_secret_value():
        raise VendorRefused(
            "Reddit wants a key: make a script app in Reddit's preferences, and set "
            "TICKLAKE_REDDIT_CLIENT_ID and TICKLAKE_REDDIT_CLIENT_SECRET"
        )
    client = praw.Reddit(
        client_id=client_id.get_secret_value(),
        client_secret=secret.get_secret_value(),
        user_agent=settings.reddit_user_agent,
        reddit_url=settings.reddit_url.rstrip("/"),
        oauth_url=settings.reddit_oauth_url.rstrip("/"),
        timeout=math.ceil(settings.vendor_timeout_s),
        check_for_updates=False,
        # A password in somebody's praw.ini must not make this client more than a reader.
        username=None,
        password=None,
        refresh_token=None,
    )
    client.read_only = True
    return client


class RedditPosts:
    """One subreddit. Each call of `batches` is a poll; what it landed it remembers."""

    def __init__(
        self, contract: Contract, settings: Settings, subreddit: str, client: praw.Reddit
    ) -> None:
        """Raises VendorRefused where Reddit has no such names."""
        if not NAME.fullmatch(subreddit):
            raise VendorRefused(f"r/{subreddit}: not a subreddit's name; write it without r/")
        self.contract = contract
        self.settings = settings
        self.subreddit = subreddit.lower()
        self.unit = f"{SOURCE}:{self.subreddit}"
        self.missed: list[Missed] = []
        self._client = client
        self._known: set[str] | None = None
        self._newest_ns = 0
        self._allowed = _listed_tickers(settings)

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """The posts that have not landed, oldest first, as one batch; none if there is none.

        Raises VendorRefused (no such subreddit, private, wrong keys) and VendorAway.
        """
        first = positions(self.unit)
        if self._known is None:
            self._known, self._newest_ns = self._landed(first)
        new = self._new(self._known, bool(first))
        if not new:
            return
        raw = [json.dumps(post).encode() for post, _ in new]
        wire = [wire_of(post, self._allowed) for post, _ in new]
        rows = Rows(self.unit, first, raw, wire, [received for _, received in new])
        yield batch_of(self.contract, self.settings, SOURCE, [rows])

    def acknowledge(self, batch: Batch) -> None:
        """Remember what landed."""
        assert self._known is not None
        self._known.update(name for name in map(_name_in, batch.raw(range(batch.size))) if name)

    def close(self) -> None:
        """Nothing is held between polls."""

    def _landed(self, first: int) -> tuple[set[str], int]:
        """Names of the posts that landed last, and the time of the newest of them in ns."""
        if not first:
            return set(), 0
        files = DeltaTable(str(layout(self.settings).bronze(self.contract.dataset))).file_uris()
        rows = pl.scan_parquet(files, hive_partitioning=False, missing_columns="insert")
        mine = rows.filter(pl.col("unit") == self.unit, pl.col("position") >= first - REMEMBERED)
        found = mine.select("post_id", "event_ts_ns", "raw").collect()
        names = {name for name in found["post_id"] if name}
        names |= {name for raw in found["raw"] if raw and (name := _name_in(raw))}
        newest = found["event_ts_ns"].max()
        return names, newest if isinstance(newest, int) else 0

    def _new(self, known: set[str], has_landed: bool) -> list[tuple[dict[str, Any], int]]:
        """Posts that are not known, the oldest first, each with its time of receipt in ns."""
        new: list[tuple[dict[str, Any], int]] = []
        seen: set[str] = set()
        in_a_row = 0
        met = False
        for post, received in self._listing():
            name = _name(post)
            if name in seen:  # pages move when something is deleted meanwhile
                continue
            seen.add(name or "")
            if name in known:
                met, in_a_row = True, in_a_row + 1
                if in_a_row >= ENOUGH_KNOWN:
                    break
            else:
                in_a_row = 0
                new.append((post, received))
        if new and has_landed and not met:
            self._say_missed(new[-1][0])
        return new[::-1]

    def _say_missed(self, oldest: dict[str, Any]) -> None:
        created = oldest.get("created_utc")
        before = created if isinstance(created, int | float) else 0
        missed = Missed(
            self.subreddit,
            datetime.fromtimestamp(self._newest_ns // 10**9, UTC),
            datetime.fromtimestamp(before, UTC),
        )
        self.missed.append(missed)
        log.warning(
            "reddit lists about a thousand posts and more came: some may be missing",
            subreddit=missed.subreddit,
            after=str(missed.after),
            before=str(missed.before),
            remedy="poll more often: TICKLAKE_REDDIT_POLL",
        )

    def _listing(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Posts from the newest down to where Reddit ends, with their times of receipt."""
        after: str | None = None
        while True:
            page, after = patiently(self.settings, lambda after=after: self._page(after))  # type: ignore[misc]
            received = time_ns()
            yield from ((post, received) for post in page)
            if not after:
                return

    def _page(self, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        path = f"r/{self.subreddit}/new"
        params: dict[str, str | int] = {"limit": PAGE, **({"after": after} if after else {})}
        try:
            answer = self._client.request(method="GET", path=path, params=params)
            listing = answer["data"]
            return [child["data"] for child in listing["children"]], listing.get("after")
        except (KeyError, TypeError) as error:
            raise Later(f"{path}: the answer is no listing: {error!r}") from error
        except refusals.TooManyRequests as error:
            raise Later(f"{path}: too many requests", float(error.retry_after or 0)) from error
        except (refusals.ServerError, refusals.RequestException, refusals.BadJSON) as error:
            raise Later(f"{path}: {error}") from error
        except _REFUSED as error:
            raise VendorRefused(
                f"r/{self.subreddit}: {error}. It is private, banned, or there is none of that name"
            ) from error
        except (refusals.ResponseException, refusals.OAuthException) as error:
            raise _of_status(path, error) from error


def _of_status(path: str, error: refusals.ResponseException | refusals.OAuthException) -> Exception:
    """What any other answer means: the token has a server of its own, which may be busy too."""
    status = error.response.status_code
    if status == 429 or status >= 500:
        return Later(f"{path}: {error}", float(error.response.headers.get("retry-after") or 0))
    return VendorRefused(
        f"{path}: {error}: {error.response.text[:LONGEST_MESSAGE]}. Remedy: check "
        "TICKLAKE_REDDIT_CLIENT_ID, TICKLAKE_REDDIT_CLIENT_SECRET and TICKLAKE_REDDIT_USER_AGENT"
    )


def wire_of(post: dict[str, Any], allowed: Iterable[str]) -> bytes:
    """A post as JSON of the contract; what is missing in it stays missing.

    The text is the title, and the body below it where there is one. An author or body that was
    deleted is none. `allowed` are the tickers that count without a $.
    """
    text = _text(post)
    made = {
        "platform": SOURCE,
        "post_id": _name(post),
        "created": _milliseconds(post.get("created_utc")),
        "author": None if post.get("author") in GONE else post.get("author"),
        "text": text,
        "score": post.get("score"),
    }
    kept = {name: value for name, value in made.items() if value is not None}
    kept["tickers"] = tickers(text if isinstance(text, str) else "", allowed)
    return json.dumps(kept).encode()


def rewire(settings: Settings) -> Callable[[bytes], bytes]:
    """What wire_of was for a post that is kept as bytes."""
    allowed = _listed_tickers(settings)
    return lambda record: wire_of(json.loads(record), allowed)


def _listed_tickers(settings: Settings) -> set[str]:
    return {ticker.strip() for ticker in settings.reddit_tickers.split(",") if ticker.strip()}


def tickers(text: str, allowed: Iterable[str]) -> list[str]:
    """Tickers in the order in which they are named: $ABC always, ABC where it is `allowed`.

    A word of capitals is more often a word (analytics.md 20), so bare ones need a list.
    """
    bare = set(allowed)
    found = [(match.start(), match[1]) for match in CASHTAG.finditer(text)]
    found += [(match.start(), match[0]) for match in WORD.finditer(text) if match[0] in bare]
    return list(dict.fromkeys(ticker for _, ticker in sorted(found)))


def _text(post: dict[str, Any]) -> Any:
    title, body = post.get("title"), post.get("selftext")
    if isinstance(title, str) and isinstance(body, str) and body and body not in GONE:
        return f"{title}\n\n{body}"
    return title


def _milliseconds(seconds: Any) -> Any:
    """Seconds since epoch as a whole number of ms, or as it is where it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return seconds
    try:
        return int(Decimal(repr(seconds)) * 1000)
    except (ValueError, OverflowError):  # NaN, infinity
        return seconds


def _name(post: dict[str, Any]) -> str | None:
    name = post.get("name")
    return name if isinstance(name, str) else None


def _name_in(raw: bytes) -> str | None:
    return _name(json.loads(raw))


def chosen_subreddits(names: str | Sequence[str]) -> list[str]:
    """Names from a list written with commas, each once."""
    given = names.split(",") if isinstance(names, str) else names
    return list(dict.fromkeys(name.strip().lower() for name in given if name.strip()))
