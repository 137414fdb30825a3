"""ticklake failures: what failed in the flows, why most likely, and what to type next."""

from dataclasses import asdict
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(failures)


def failures(
    json: Annotated[bool, JSON] = False,
    flow: Annotated[str | None, typer.Option(help="of this flow only, e.g. live")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, the newest first")] = 20,
    full: Annotated[bool, typer.Option("--full", help="whole notes, one below the other")] = False,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="also what has succeeded since")
    ] = False,
) -> None:
    """What failed or was late in the flows, the likely cause, and what to type next."""
    from lake import failures_table
    from lake.failures import settled
    from lake.layout import layout
    from ticklake.failures.note import text

    rows = settled(failures_table.read(layout(load_settings())))
    wanted = [
        (row, at)
        for row, at in reversed(rows)
        if (flow is None or row.flow == flow) and (all_of_them or at is None)
    ]
    shown = wanted[:limit]
    if json:
        console.as_json([asdict(row) | {"settled_at": at} for row, at in shown])
        return
    if not shown:
        console.out.print("Nothing that failed is open." if rows else "Nothing ever failed.")
        return
    if full:
        for row, _ in shown:
            console.out.print(text(row) + "\n", markup=False, soft_wrap=True)
        return
    console.table(
        f"Failures: {len(wanted)}" + ("" if all_of_them else " not settled"),
        ["noted (UTC)", "what", "try", "error", "likely cause", "type next", "settled (UTC)"],
        [
            (
                row.noted_at,
                f"{row.flow} {row.task}".strip() + ("" if row.kind == "failed" else f" {row.kind}"),
                f"{row.try_number}/{row.tries}" if row.try_number else "",
                _first_line(row.error),
                row.cause,
                row.command,
                at,
            )
            for row, at in shown
        ],
    )
    console.out.print("Whole notes, with run and log: `ticklake failures --full`.")


def _first_line(error: str) -> str:
    line = error.partition("\n")[0]
    return line if len(line) <= 160 else f"{line[:157]}..."
