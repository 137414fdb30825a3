"""ticklake build and reconcile: make the tables, and judge them."""

import signal
from collections.abc import Sequence
from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

if TYPE_CHECKING:
    from checks.account import Account
    from lake.resident import Round

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
    follow: Annotated[
        bool, typer.Option("--follow", help="stay, and build whenever something has landed")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.5, max=86_400, help="with --follow: seconds between builds")
    ] = 5.0,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Build what changed (or a range of days), test it, publish it. The same as `dbt build`."""
    from lake.build import STARTED, ModelResult
    from lake.build import build as run

    if follow:
        asked = [start and "--from", end and "--to", full_refresh and "--full-refresh"]
        _follow(every, [name for name in [*asked, select and "--select"] if name], json=json)
        return
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
    if not result.models:
        console.out.print(f"{result.reason}; publication {result.publication} is current")
        return
    slowest = sorted(result.models, key=lambda m: m.seconds, reverse=True)[:8]
    console.table(
        f"Build {result.build_id}: {result.reason}, publication {result.publication}",
        ["slowest", "kind", "status", "seconds"],
        [(m.name, m.kind, m.status, m.seconds) for m in slowest],
    )
    for warning in result.warnings:
        console.err.print(f"[yellow]finding:[/] {warning}")


def _follow(every_s: float, asked: Sequence[str], *, json: bool) -> None:
    """Build until Ctrl-C or SIGTERM, which end a build that runs: readers keep what they had."""
    from lake.resident import Round, follow

    settings = load_settings()
    asked = [*asked, *(["TICKLAKE_BUILD_FROM"] if settings.build_from else [])]
    if asked:
        raise console.stop(f"--follow builds what lands; leave out {', '.join(asked)}", 2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def told(done: Round) -> None:
        if json:
            console.out.print(_line(done), soft_wrap=True, markup=False)
        elif done.result is None:
            console.err.print(f"[bold red]error:[/] {done.why}", soft_wrap=True)
        else:
            found = done.result
            news = f"publication {found.publication}" if found.published else found.reason
            more = f", {len(found.warnings)} findings" if found.warnings else ""
            console.out.print(f"{found.build_id}: {news}, {done.seconds:.1f} s{more}")

    try:
        follow(settings, told, every_s=every_s)
    except KeyboardInterrupt:
        console.err.print("stopped; readers have the last publication")


def _line(done: "Round") -> str:
    """A round as a line of JSON."""
    found = done.result
    return dumps(
        {
            "build_id": found.build_id if found else None,
            "publication": found.publication if found else None,
            "published": bool(found and found.published),
            "seconds": round(done.seconds, 3),
            "findings": found.warnings if found else [],
            "why": done.why or (found.reason if found else ""),
        }
    )


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
