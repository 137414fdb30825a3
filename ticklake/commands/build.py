"""ticklake build and reconcile: make the tables, and judge them."""

from datetime import datetime
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

DAY = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(build)
    app.command()(reconcile)


def build(
    start: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="first UTC day to recompute")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=DAY, help="the day after the last")
    ] = None,
    full_refresh: Annotated[bool, typer.Option(help="rebuild every table whole")] = False,
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="dbt selection; may be repeated")
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Build what changed (or a range of days), test it, publish it. The same as `dbt build`."""
    from lake.build import ModelResult
    from lake.build import build as run

    with console.progress("building") as bar:

        def done(node: ModelResult, total: int) -> None:
            bar.advance(1, f"{node.kind} {node.name}", total)

        result = run(
            load_settings(),
            start=start.date() if start else None,
            end=end.date() if end else None,
            full_refresh=full_refresh,
            select=tuple(select or ()),
            progress=done,
        )
    if json:
        console.as_json(result)
        return
    slowest = sorted(result.models, key=lambda m: m.seconds, reverse=True)[:8]
    console.table(
        f"Build {result.build_id}: {result.reason}, publication {result.publication}",
        ["slowest", "kind", "status", "seconds"],
        [(m.name, m.kind, m.status, m.seconds) for m in slowest],
    )
    for warning in result.warnings:
        console.err.print(f"[yellow]finding:[/] {warning}")


def reconcile(json: Annotated[bool, JSON] = False) -> None:
    """Print every account; exit 1 if one does not close."""
    from checks.reconcile import reconcile as judge

    accounts = judge(load_settings())
    wrong = [account for account in accounts if account.is_open]
    if json:
        console.as_json(accounts)
    else:
        show_accounts(accounts)
    if wrong:
        raise console.stop(
            f'{len(wrong)} accounts are open; look at the lines above, at `ticklake sql "from '
            'audit.account_gold where difference <> 0"` and its neighbours, then build again'
        )


def show_accounts(accounts: list) -> None:  # type: ignore[type-arg]
    """Print accounts as a table."""
    console.table(
        "Accounts",
        ["account", "of", "left", "right", "difference"],
        [(a.name, a.scope, a.left, a.right, a.difference) for a in accounts],
    )
