"""ticklake maintain, verify and rebuild: keep the lake small, whole, and repeatable."""

from pathlib import Path
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(maintain)
    app.command()(verify)
    app.command()(rebuild)


def maintain(
    dry_run: Annotated[bool, typer.Option(help="say what would be done, and do nothing")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Put small files together, sum up logs, remove what nobody needs any more."""
    from lake.maintenance import maintain as run

    with console.progress("maintaining") as bar:
        done = run(
            load_settings(),
            dry_run=dry_run,
            progress=lambda files, table: bar.advance(files, f"compacting {table}"),
        )
    if json:
        console.as_json(done)
        return
    worth_telling = [one for one in done if one.note or not one.is_nothing]
    if not worth_telling:
        console.out.print("Nothing to do.")
        return
    console.table(
        "Would be done" if dry_run else "Done",
        ["table", "files", "became", "rows", "checkpoint", "removed", "MB", "log files", "note"],
        [
            (
                one.table,
                one.compacted,
                one.into,
                one.rows,
                one.checkpoint,
                one.removed,
                round(one.removed_bytes / 1e6, 1),
                one.log_entries,
                one.note,
            )
            for one in worth_telling
        ],
    )


def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="read every page, count every batch")
    ] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Is every file of the lake there, whole, and as the logs say? Exit 1 if not."""
    from lake.verify_lake import verify as look

    with console.progress("verifying") as bar:
        found = look(load_settings(), deep=deep, progress=lambda table: bar.advance(1, table))
    if json:
        console.as_json(found)
    else:
        for finding in found.findings:
            colour = "red" if finding.is_damage else "yellow"
            console.out.print(
                f"[bold {colour}]{finding.problem}[/]\n  where  {finding.path}\n"
                f"  what   {finding.detail}\n  mend   {finding.mend}",
                soft_wrap=True,
            )
        console.out.print(
            f"{found.tables} tables, {found.files} files, {found.rows:,} rows: "
            + (f"{len(found.damage)} damaged" if found.damage else "all there and whole")
        )
    if found.damage:
        raise typer.Exit(1)


def rebuild(
    publication: Annotated[int, typer.Option(help="number of the publication", min=1)],
    into: Annotated[Path, typer.Option(help="an empty folder, or one to be made")],
    json: Annotated[bool, JSON] = False,
) -> None:
    """Make a publication again from the rows that it was made from, in a lake of its own."""
    from lake.build import ModelResult
    from lake.rebuild import rebuild as run

    with console.progress("rebuilding") as bar:

        def done(node: ModelResult, total: int) -> None:
            bar.advance(1, f"{node.kind} {node.name}", total)

        made = run(load_settings(), publication, into, done)
    if json:
        console.as_json(made)
        return
    console.out.print(
        f"Publication {made.number} again, from {made.rows:,} rows of bronze, in {made.into}.\n"
        f'  LAKE_URI={made.into} ticklake sql "from gold.candles_1d limit 5"',
        soft_wrap=True,
    )
    if made.note:
        console.err.print(f"[yellow]note:[/] {made.note}", soft_wrap=True)
