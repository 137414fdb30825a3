"""ticklake discovery: which venue's quotes lead the price."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

HEADINGS = (
    *("instrument", "session", "venue", "component", "info low", "info high", "information"),
    *("leadership", "lag", "seconds", "reason"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(discovery)


def discovery(
    instrument: Annotated[str | None, typer.Option(help="this instrument only")] = None,
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="this session only")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="also write the rows as Parquet")] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Each venue's share in price discovery per session: component and information shares."""
    import duckdb
    import polars as pl

    from lake import lakehouse
    from lake.layout import layout
    from ml.price_discovery import VenueShare, discover

    on: date | None = day.date() if day else None
    with lakehouse.connect(layout(load_settings())) as conn:
        try:
            rows = [asdict(row) for row in discover(conn, instrument, on)]
        except duckdb.CatalogException as error:
            raise console.stop(f"not published yet, run a build first: {error}", 1) from None
    columns = list(VenueShare.__dataclass_fields__)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        types: dict[str, type[pl.DataType]] = {
            "session_date": pl.Date,
            "lag": pl.Int64,
            "joint_seconds": pl.Int64,
        }
        schema = {c: types.get(c, pl.Float64 if "share" in c else pl.String) for c in columns}
        pl.DataFrame(rows, schema=schema).write_parquet(out)
    if json:
        console.as_json(rows)
        return
    if not rows:
        console.out.print("No session is quoted by two venues.")
        return
    console.table(
        "Price discovery by venue",
        HEADINGS,
        [[round(v, 4) if isinstance(v, float) else v for v in row.values()] for row in rows],
    )
    if out:
        console.out.print(f"{len(rows)} rows in {out}")
