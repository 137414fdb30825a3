"""ticklake ingest: land records."""

import signal
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from lake.settings import Settings, load_settings
from ticklake import console

DATASETS = typer.Option("--dataset", "-d", help="only this dataset; may be given several times")
JSON = typer.Option("--json", help="print JSON instead of a table")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(ingest)


def ingest(
    file: Annotated[
        Path | None, typer.Argument(help="a file to land; without one, the topics and the inbox")
    ] = None,
    *,
    feed: Annotated[str | None, typer.Option(help="the file's feed mapping")] = None,
    dataset: Annotated[list[str] | None, DATASETS] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="inbox: only this day's files")
    ] = None,
    follow: Annotated[bool, typer.Option(help="stay and land records as they come")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value the mapping needs and the file name does not say"),
    ] = None,
    accept_loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOSS",
            help="TOPIC/PARTITION:FROM-TO: go on without records that Kafka has deleted",
        ),
    ] = None,
    accept_recreated: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="land a topic that was made anew, from its beginning"),
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Land Kafka topics and the inbox, or one file, as bronze after the contract check.

    Everything lands once, however often it is offered; what breaks its contract is kept in
    quarantine with its bytes and the reason.
    """
    from ingestion.land import Landing, land_file, land_inbox, land_topics

    settings = load_settings()
    _accept(settings, accept_recreated or [], accept_loss or [])
    with console.progress("landing") as bar:

        def landed(commit: object) -> None:
            bar.advance(commit.ok + commit.rejected, f"landing {commit.dataset}")  # type: ignore[attr-defined]

        landings: list[Landing]
        if file is not None:
            if feed is None:
                raise console.stop("a file needs its mapping: --feed NAME (see docs/feeds.md)", 2)
            landings = [land_file(settings, file, feed, landed, **_parameters(set_ or []))]
        elif follow:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave in order, as Ctrl-C
            landings = land_topics(settings, tuple(dataset or ()), True, landed)
        else:
            only: date | None = day.date() if day else None
            landings = land_inbox(settings, only, landed)
            try:
                landings += land_topics(settings, tuple(dataset or ()), False, landed)
            except Exception:
                show(landings, json)  # the inbox has landed, whatever became of the topics
                raise
    show(landings, json)


def _accept(settings: Settings, topics: list[str], losses: list[str]) -> None:
    if not topics and not losses:
        return
    from ingestion.accept import Loss, accept_losses, accept_recreated

    named = [Loss.of(text) for text in losses]
    for topic in topics:
        accept_recreated(settings, topic)
    accept_losses(settings, named)


def show(landings: list, json: bool) -> None:  # type: ignore[type-arg]
    """Print what landed."""
    facts = [
        {
            "dataset": x.dataset,
            "ok": x.ok,
            "rejected": x.rejected,
            "batches": x.batches,
            "by_code": dict(x.by_code),
            "hours": list(x.hours),
            "held_by": x.held_by,
        }
        for x in landings
    ]
    if json:
        console.as_json(facts)
        return
    console.table(
        "Landed",
        ["dataset", "ok", "rejected", "batches", "why rejected"],
        [
            (
                x.dataset,
                x.ok,
                x.rejected,
                x.batches,
                x.held_by or ", ".join(f"{code} {n:,}" for code, n in x.by_code.most_common()),
            )
            for x in landings
        ],
    )


def _parameters(given: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    wrong = [name for name, equals, _ in pairs if not equals or not name]
    if wrong:
        raise console.stop(f"--set takes name=value; got {', '.join(wrong)}", 2)
    return {name: value for name, _, value in pairs}
