"""ticklake export: a published table as Hive-partitioned Parquet."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.build import DAY
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    table: Annotated[str, typer.Argument(help="candles_1m (of gold), or silver.trades")],
    to: Annotated[Path, typer.Option(help="the folder to write: a new or an empty one")],
    by: Annotated[
        str | None, typer.Option(help="the column whose UTC day a row is put under")
    ] = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=DAY, help="first day")] = None,
    end: Annotated[
        datetime | None, typer.Option("--to-day", formats=DAY, help="the day after the last")
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Write a published table as Parquet cut by day: year=2025/month=10/day=2."""
    from lake.export import ExportError
    from lake.export import export as write
    from lake.layout import layout

    settings = load_settings()
    with console.progress(f"exporting {table}", total=100) as bar:
        done = 0

        def advance(per_cent: float) -> None:
            nonlocal done
            bar.advance(max(0, int(per_cent) - done), f"exporting {table}", 100)
            done = max(done, int(per_cent))

        try:
            exported = write(
                layout(settings),
                table,
                to.expanduser().absolute(),
                by=by,
                first=start.date() if start else None,
                after=end.date() if end else None,
                memory=settings.build_memory,
                progress=advance,
            )
        except ExportError as error:
            raise console.stop(str(error), 2) from None
    if json:
        console.as_json(exported)
        return
    console.table(
        f"{exported.table} of publication {exported.publication}, by the day of {exported.day_of}",
        ["rows", "days", "files", "bytes", "folder"],
        [(exported.rows, exported.days, exported.files, exported.bytes, exported.folder)],
    )
    console.out.print(
        f"Read it with: from read_parquet('{exported.folder}/**/*.parquet') "
        "where year = 2025 and month = 10 and day = 2",
        soft_wrap=True,
    )
