"""ticklake reddit: land new posts."""

from contextlib import nullcontext
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.alpaca import stopped_by_signals
from ticklake.commands.ingest import JSON, show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(reddit)


def reddit(
    subreddits: Annotated[
        str | None, typer.Option(help="with commas between; else TICKLAKE_REDDIT_SUBREDDITS")
    ] = None,
    follow: Annotated[bool, typer.Option(help="stay and poll again and again")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Land the new posts of subreddits, each once."""
    from ingestion.sources.reddit import chosen_subreddits
    from ingestion.vendors import land_reddit

    settings = load_settings()
    names = chosen_subreddits(settings.reddit_subreddits if subreddits is None else subreddits)
    if not names:
        raise console.stop("no subreddit is named: --subreddits stocks,investing", 2)
    signals = stopped_by_signals() if follow else nullcontext()
    with console.progress("asking Reddit") as bar, signals as stopped:

        def landed(commit: object) -> None:
            bar.advance(commit.ok + commit.rejected, "landing posts")  # type: ignore[attr-defined]

        landing, missed = land_reddit(settings, names, stopped, landed)
    show([landing], json)
    for gap in missed:
        console.err.print(
            f"[yellow]may be missing:[/] posts of r/{gap.subreddit} between {gap.after} and "
            f"{gap.before}: Reddit lists about a thousand and more came. Poll more often"
        )
