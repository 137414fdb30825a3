"""ticklake postgres: what is published, copied to a PostgreSQL database."""

from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

group = typer.Typer(no_args_is_help=True, help="Copy what is published to PostgreSQL.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="postgres")


@group.callback()
def postgres() -> None:
    """Copy what is published to the database that TICKLAKE_POSTGRES names."""


@group.command()
def publish(
    full_refresh: Annotated[
        bool, typer.Option(help="copy all tables anew, also what has not changed")
    ] = False,
    take_over: Annotated[
        bool, typer.Option(help="replace what another lake published there")
    ] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Make PostgreSQL hold the current publication; a second time nothing is done."""
    from serving.postgres import publish_postgres

    settings = load_settings()
    with console.rates({"rows": None}) as advance:
        done = publish_postgres(
            settings,
            full_refresh=full_refresh,
            take_over=take_over,
            progress=lambda _, rows: advance("rows", rows),
        )
    if json:
        console.as_json(done)
        return
    if not done.copied:
        console.out.print(
            f"{done.where} holds publication {done.publication} already, {done.standing} tables."
        )
        return
    console.table(
        f"Publication {done.publication} in {done.where}, {done.standing} tables",
        ["table", "", "rows", "parts replaced", "parts gone"],
        [(t.table, t.how, t.rows, t.parts, t.gone) for t in done.tables],
    )
    console.out.print(f"{done.rows:,} rows copied; `ticklake reconcile` compares both sides.")
