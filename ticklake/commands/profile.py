"""ticklake profile: gaps, outliers, completeness and conditions of a day, as one HTML page."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(profile)


def profile(
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="session date; the newest with rows if not given"),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="file to write; <LAKE_LOCAL>/profile/<day>.html if not given"),
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Draw a day's gaps, outliers, completeness and conditions into one HTML file."""
    from checks.profile.facts import facts
    from checks.profile.page import page
    from checks.profile.pictures import pictures

    settings = load_settings()
    with console.progress("reading", total=3) as bar:
        found = facts(settings, _date(day))
        bar.advance(label="drawing")
        drawn = pictures(found)
        bar.advance(label="writing")
        html = page(found, drawn)
        target = to or settings.local / "profile" / f"{found.day}.html"
        _write(target, html)
        bar.advance()
    if json:
        console.as_json(
            {
                "day": found.day,
                "file": target,
                "pictures": list(drawn),
                "instruments": found.instruments.to_dicts(),
                "conditions": found.conditions.to_dicts(),
            }
        )
        return
    console.out.print(
        f"Profile of {found.day}, publication {found.publication}: {target}", soft_wrap=True
    )


def _date(day: datetime | None) -> date | None:
    return day.date() if day else None


def _write(target: Path, html: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise console.stop(
            f"cannot write {target} ({error.strerror}): name another file with --to", 2
        ) from None
