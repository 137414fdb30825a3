"""Landing what vendors offer over the internet: Alpaca's history and stream, Reddit's posts."""

import time
from collections.abc import Callable, Sequence
from datetime import date
from threading import Event
from typing import TYPE_CHECKING

import structlog

from contracts import registry
from ingestion.check import refuse_if_disabled
from ingestion.land import Landing, Progress, land
from ingestion.sources.alpaca_history import (
    AlpacaHistory,
    Chosen,
    Window,
    day_windows,
    first_open_day,
)
from ingestion.sources.alpaca_rest import keys
from ingestion.sources.vendor import VendorAway, VendorRefused
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.locks import held
from lake.settings import Settings

if TYPE_CHECKING:
    from ingestion.sources.reddit import Missed, RedditPosts

log = structlog.get_logger()

LOCK_WAIT_S = 600


class NothingAsked(ValueError):
    """The request names nothing that could be landed; the message says what to change."""


def land_alpaca_history(
    settings: Settings,
    chosen: Sequence[Chosen],
    symbols: Sequence[str],
    start: date,
    end: date,
    *,
    edition: int = 1,
    progress: Progress | None = None,
    done: Callable[[Window], None] | None = None,
) -> list[Landing]:
    """Land the UTC days from `start` until before `end`, each unit once however often it is asked.

    A day that is not over is left for later. Raises NothingAsked where no day is over, and what
    AlpacaHistory raises.
    """
    refuse_if_disabled()
    keys(settings)  # before anything is made
    landings: dict[str, Landing] = {}
    for one in chosen:
        windows = day_windows(one, symbols, start, _closed(one, start, end), edition)
        contract = registry.get(one.kind)
        total = landings.setdefault(contract.dataset, Landing(contract.dataset))
        with held(layout(settings).lock(f"alpaca.{contract.dataset}"), LOCK_WAIT_S):
            source = AlpacaHistory(contract, settings, one, windows, done)
            total.merge(land(source, BronzeWriter(contract, layout(settings)), progress))
    return list(landings.values())


def _closed(chosen: Chosen, start: date, end: date) -> date:
    """`end`, or the first day that is not over yet where that is earlier."""
    if start >= end:
        raise NothingAsked(f"--from {start} must lie before --to {end}, the day after the last")
    open_day = first_open_day(chosen, time.time_ns())
    if open_day <= start:
        raise NothingAsked(
            f"{start} is not over yet for {chosen.prefix}: history lands whole UTC days, the last "
            f"one to be had is the day before {open_day}; `ticklake alpaca stream` lands today"
        )
    if open_day < end:
        log.info("left for later", what=chosen.prefix, start=str(open_day), end=str(end))
    return min(end, open_day)


def land_alpaca_stream(
    settings: Settings,
    chosen: Sequence[Chosen],
    symbols: Sequence[str],
    stopped: Event,
    progress: Progress | None = None,
) -> list[Landing]:
    """Land Alpaca's stream until `stopped` is set. One process for each feed.

    Raises Busy where another process streams it, and VendorRefused.
    """
    from ingestion.sources.alpaca_stream import AlpacaStream

    refuse_if_disabled()
    at = layout(settings)
    with held(at.lock(f"alpaca.stream.{chosen[0].market.source}")):
        return AlpacaStream(settings, chosen, symbols, progress).run(stopped)


def land_reddit(
    settings: Settings,
    subreddits: Sequence[str],
    stopped: Event | None = None,
    progress: Progress | None = None,
) -> tuple[Landing, list["Missed"]]:
    """Land the new posts of the subreddits; with `stopped`, poll again until it is set.

    Also gives what may have been missed. A subreddit that cannot be read does not keep the others
    out: all are named at the end, in one VendorRefused; while polling, they are warned of.
    """
    from ingestion.sources.reddit import RedditPosts, reddit

    refuse_if_disabled()
    contract = registry.get("posts")
    landing = Landing(contract.dataset)
    client = reddit(settings)
    sources = [RedditPosts(contract, settings, name, client) for name in subreddits]
    with held(layout(settings).lock("reddit"), 0 if stopped else LOCK_WAIT_S):
        writer = BronzeWriter(contract, layout(settings))
        while True:
            refused = _poll(sources, writer, landing, progress)
            if stopped is None and refused:
                landed = landing.ok + landing.rejected
                raise VendorRefused("\n".join([*refused, f"Of the others {landed} posts landed"]))
            if stopped is None or stopped.wait(settings.reddit_poll_s):
                return landing, [missed for source in sources for missed in source.missed]


def _poll(
    sources: Sequence["RedditPosts"],
    writer: BronzeWriter,
    landing: Landing,
    progress: Progress | None,
) -> list[str]:
    """Land what is new in each subreddit; the reasons of those that could not be read."""
    refused = []
    for source in sources:
        try:
            landing.merge(land(source, writer, progress))
        except (VendorRefused, VendorAway) as error:
            log.warning("not polled", subreddit=source.subreddit, why=str(error))
            refused.append(str(error))
    return refused


def wire_again(settings: Settings, unit: str) -> Callable[[bytes], bytes] | None:
    """What makes a rejected row's bytes a record of its contract; None for units of others.

    A vendor's row is kept as the vendor wrote it, so that it can be read again by a better mapping.
    """
    if unit.startswith("alpaca:"):
        from ingestion.sources.alpaca_wire import rewire

        return rewire(unit)
    if unit.startswith("reddit:"):
        from ingestion.sources.reddit import rewire as rewire_post

        return rewire_post(settings)
    return None
