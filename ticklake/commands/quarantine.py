"""ticklake quarantine: look at what was rejected, take it out, judge it again."""

import base64
import json as json_lines
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.markup import escape

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import DATASETS, JSON

if TYPE_CHECKING:
    from ingestion.replay import Replayed
    from lake.quarantine import Rejected, Wanted

SHOWN_BYTES = 300

group = typer.Typer(no_args_is_help=True, help="Look at rejected records, export and replay them.")

Datasets = Annotated[list[str] | None, DATASETS]
Code = Annotated[str | None, typer.Option("--code", "-c", help="only this reject code")]
Source = Annotated[str | None, typer.Option("--source", "-s", help="only this topic or feed")]
Since = Annotated[
    datetime | None, typer.Option(help="only what was landed at or after this moment (UTC)")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="quarantine")


@group.command("list")
def list_(
    dataset: Datasets = None,
    code: Code = None,
    source: Source = None,
    since: Since = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """How many records were rejected, by dataset, code and source, and how many are open."""
    from lake import quarantine
    from lake.layout import layout

    found = quarantine.groups(layout(load_settings()), _wanted(dataset, code, source, since))
    if json:
        console.as_json(found)
        return
    console.table(
        "Quarantine",
        ["dataset", "code", "source", "count", "first", "last", "open", "replayed"],
        [
            (g.dataset, g.code, escape(g.source), g.count, g.first, g.last, g.open, g.replayed)
            for g in found
        ],
    )


@group.command()
def show(
    dataset: Datasets = None,
    code: Code = None,
    source: Source = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="records to print")] = 20,
    json: Annotated[bool, JSON] = False,
) -> None:
    """The newest rejected records: where they came from, what was wrong, and their bytes."""
    from lake import quarantine
    from lake.layout import layout

    place = layout(load_settings())
    found = list(quarantine.records(place, _wanted(dataset, code, source, since), limit))
    if json:
        console.as_json([_plain(record) for record in found])
        return
    console.table(
        "",
        ["dataset", "unit and position", "code", "message", "record", "state"],
        [
            (r.dataset, escape(f"{r.unit} {r.position}"), r.code, escape(r.message),
             escape(safely(r.raw)), r.state)
            for r in found
        ],
    )  # fmt: skip
    if len(found) == limit:
        console.err.print(f"(the newest {limit}; --limit for more)")


@group.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(help="where to write; without it, standard output")
    ] = None,
    dataset: Datasets = None,
    code: Code = None,
    source: Source = None,
    since: Since = None,
) -> None:
    """Rejected records as JSON lines: `raw` where the bytes are UTF-8, else `raw_base64`."""
    from lake import quarantine
    from lake.layout import layout

    place = layout(load_settings())
    records = quarantine.records(place, _wanted(dataset, code, source, since))
    if file is None:
        _write(records, sys.stdout)
        return
    with file.open("w", encoding="utf-8") as out:
        written = _write(records, out)
    console.err.print(f"{written:,} records in {escape(str(file))}")


@group.command()
def replay(
    dataset: Datasets = None,
    code: Code = None,
    source: Source = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="say what would pass")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Judge open records again by today's contracts and mappings; land those that pass, once."""
    from ingestion.replay import replay as judge_again

    wanted = _wanted(dataset, code, source, since)
    with console.progress("replay") as bar:
        done: dict[str, int] = {}

        def advance(name: str, examined: int, total: int) -> None:
            bar.advance(examined - done.get(name, 0), f"replay {name}", total)
            done[name] = examined

        found = judge_again(load_settings(), wanted, dry_run=dry_run, progress=advance)
    if json:
        console.as_json([told(replayed) for replayed in found])
        return
    title = "Would pass, nothing was landed" if dry_run else "Replayed"
    console.table(
        title,
        ["dataset", "looked at", "pass", "still rejected", "unreadable", "why"],
        [
            (r.dataset, r.examined, r.passed, r.still.total(), r.unreadable,
             ", ".join(f"{reason} {n:,}" for reason, n in r.still.most_common()))
            for r in found
        ],
    )  # fmt: skip
    for note in (note for replayed in found for note in replayed.notes):
        console.err.print(f"not readable: {escape(note)}")


def told(replayed: "Replayed") -> dict[str, Any]:
    """A replay as plain data, fit for JSON."""
    return {
        "dataset": replayed.dataset,
        "examined": replayed.examined,
        "passed": replayed.passed,
        "still_rejected": dict(replayed.still),
        "unreadable": replayed.unreadable,
        "notes": replayed.notes,
        "batches": replayed.batches,
        "hours": list(replayed.hours),
    }


def safely(raw: bytes, most: int = SHOWN_BYTES) -> str:
    """Bytes as one line that a terminal only prints: nothing in them is obeyed."""
    text = raw[:most].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(raw) <= most else f"{shown}... ({len(raw):,} bytes)"


def _wanted(
    datasets: list[str] | None, code: str | None, source: str | None, since: datetime | None
) -> "Wanted":
    from lake.quarantine import Wanted

    return Wanted(tuple(datasets or ()), code, source, since)


def _write(records: Any, out: TextIO) -> int:
    written = 0
    for record in records:
        out.write(json_lines.dumps(_plain(record), ensure_ascii=False) + "\n")
        written += 1
    out.flush()
    return written


def _plain(record: "Rejected") -> dict[str, Any]:
    """A record as JSON: its bytes as text where they are, so that they come back the same."""
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(record).items()
        if name != "raw"
    }
    try:
        return {**plain, "raw": record.raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {**plain, "raw_base64": base64.b64encode(record.raw).decode()}
