"""ticklake acceptance and routing: is the generated market good enough to test against?"""

from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

if TYPE_CHECKING:
    from checks.routing import Route


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(acceptance)
    app.command()(routing)


def acceptance(
    seed: Annotated[int, typer.Option(min=0, help="seed of the market")] = 7,
    start: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first trading day")
    ] = datetime(2025, 9, 15),
    days: Annotated[int, typer.Option(min=1, help="trading days")] = 5,
    quotes: Annotated[int, typer.Option(min=1, help="quotes a day")] = 600_000,
    trades: Annotated[int, typer.Option(min=1, help="trades a day")] = 500_000,
    market: Annotated[
        Path | None, typer.Option(help="YAML file of market settings instead of the defaults")
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Measure the statistical acceptance list on a large generated market; exit 1 if it fails."""
    from ingestion.generate.acceptance import measure
    from ingestion.generate.market import Market, load_market
    from ingestion.generate.plan import Plan
    from ingestion.generate.presets import weekdays

    chosen = load_market(market) if market else Market()
    try:
        plan = Plan(
            seed=seed,
            days=weekdays(start.date(), days),
            quotes=quotes * days,
            trades=trades * days,
            securities=10_000 + 50 * days,
            market=chosen,
        )
        with console.progress("measuring", total=days) as bar:
            figures = measure(plan, lambda day: bar.advance(1, f"measured {day}"))
    except ValueError as error:
        raise console.stop(str(error), 2) from None
    if json:
        facts = [
            {**vars(f), "value": _finite(f.value), "high": _finite(f.high), "passed": f.passed}
            for f in figures
        ]
        console.as_json(facts)
    else:
        console.table(
            f"Acceptance of {quotes * days:,} quotes and {trades * days:,} trades, seed {seed}",
            ["figure", "measured", "at least", "at most", "passed"],
            [
                (f.name, round(f.value, 4), round(f.low, 4), _finite(f.high), f.passed)
                for f in figures
            ],
        )
    if not all(figure.passed for figure in figures):
        raise typer.Exit(1)


def routing(
    truth: Annotated[list[Path], typer.Argument(help="truth.parquet written beside the data")],
    json: Annotated[bool, JSON] = False,
) -> None:
    """Compare where every injected fault ended with its truth table; exit 1 if one went astray.

    Reads what is published: land and build first.
    """
    from checks.routing import routing as compare

    routes = compare(load_settings(), truth)
    if json:
        console.as_json([{**vars(route), "is_exact": route.is_exact} for route in routes])
    else:
        show_routes(routes)
    if not all(route.is_exact for route in routes):
        raise typer.Exit(1)


def show_routes(routes: "list[Route]") -> None:
    """Print where the faults ended."""
    console.table(
        "Where the injected faults ended",
        ["kind", "destination", "injected", "found", "missing", "false", "exact"],
        [
            (r.kind, r.destination, r.injected, r.found, r.missing, r.false, r.is_exact)
            for r in routes
        ],
    )


def _finite(value: float) -> float | None:
    """JSON knows neither infinity nor NaN."""
    return value if isfinite(value) else None
