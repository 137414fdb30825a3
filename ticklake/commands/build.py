"""ticklake build and reconcile: make the tables, and judge them."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

if TYPE_CHECKING:
    from checks.account import Account

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
    from lake.build import STARTED, ModelResult
    from lake.build import build as run

    with console.progress("building") as bar:

        def done(node: ModelResult, total: int) -> None:
            bar.advance(int(node.status != STARTED), f"{node.kind} {node.name}", total)

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


def reconcile(
    quick: Annotated[
        bool, typer.Option("--quick", help="count published files, do not read them")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="also quantities, notionals and venues that close")
    ] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Print the accounts, from the broker to what readers get; exit 1 if one does not close."""
    from checks.reconcile import reconcile as judge

    with console.progress("reconciling") as bar:
        accounts = judge(
            load_settings(),
            quick=quick,
            progress=lambda table, total: bar.advance(1, table, total),
        )
    wrong = [account for account in accounts if account.is_open]
    if json:
        console.as_json(accounts)
    else:
        show_accounts(accounts, everything=everything)
    if wrong:
        raise console.stop(
            f"{len(wrong)} accounts are open; what each means and what to do: "
            "docs/reconciliation.md"
        )


def show_accounts(accounts: "Sequence[Account]", *, everything: bool = False) -> None:
    """Print accounts as a table, then what is behind those that are open.

    Of lines that close only those about rows are shown, unless `everything` is.
    """
    shown = [a for a in accounts if everything or a.is_open or ", " not in a.name]
    console.table(
        "Accounts",
        ["account", "of", "left", "right", "difference"],
        [(a.name, a.scope, a.left, a.right, a.difference) for a in shown],
    )
    if rest := len(accounts) - len(shown):
        console.out.print(f"and {rest} lines of quantities, notionals and venues, which close")
    for account in accounts:
        if account.is_open:
            console.err.print(f"[yellow]open:[/] {account.name}, {account.scope}")
        for told in (account.detail, account.look):
            if told and (account.is_open or account.name == "broker = bronze + lag"):
                console.err.print(f"  {told}", soft_wrap=True, markup=False)
