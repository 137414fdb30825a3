"""`ticklake`: the command line's front door."""

import logging
import sys

import structlog
import typer

from lake.damage import explained
from lake.settings import SettingsError, load_settings
from ticklake.commands import (
    alpaca,
    build,
    demo,
    discovery,
    drift,
    expect,
    export,
    failures,
    generate,
    impact,
    ingest,
    listen,
    look,
    maintain,
    postgres,
    profile,
    prove,
    quarantine,
    reddit,
    services,
    speed,
)
from ticklake.console import stop

app = typer.Typer(
    help="A market-data lakehouse whose numbers can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (
    generate,
    ingest,
    speed,
    listen,
    alpaca,
    reddit,
    build,
    drift,
    look,
    profile,
    impact,
    prove,
    discovery,
    expect,
    failures,
    quarantine,
    maintain,
    postgres,
    services,
    demo,
    export,
):
    group.register(app)


# Errors that the rooms raise on purpose carry their own remedy; others are ours to debug.
ROOMS = {"contracts", "lake", "ingestion", "checks", "ml", "serving", "ticklake"}


def main() -> None:
    """Run a command; errors a person can mend are one clear message, not a traceback."""
    try:
        _configure_logs()
        app()
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ROOMS:
            if found := explained(error):
                raise stop(found) from None
            raise
        raise stop(str(error), 2 if isinstance(error, SettingsError) else 1) from None


def _configure_logs() -> None:
    json_lines = load_settings().log_format == "json"
    renderer = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
