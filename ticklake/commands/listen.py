"""ticklake listen: the WebSocket listener."""

from typing import Annotated

import typer

from lake.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(listen)


def listen(
    port: Annotated[
        int | None, typer.Option(help="instead of TICKLAKE_LISTEN_PORT; 0 takes any free one")
    ] = None,
) -> None:
    """Take records over WebSocket and acknowledge them once they are durable in bronze.

    Stays until SIGTERM or Ctrl-C; what was accepted until then is landed and acknowledged.
    """
    from ingestion.listen.server import listen as serve

    settings = load_settings()
    serve(settings if port is None else settings.model_copy(update={"listen_port": port}))
