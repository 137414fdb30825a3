"""ticklake candles and speed: candles while records land."""

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from lake.settings import Settings, load_settings
from ticklake import console
from ticklake.commands.ingest import JSON

LOOKS_A_SECOND = 5

group = typer.Typer(help="Candles that `ingest --follow` makes while it lands.")


class Width(StrEnum):
    """Widths of candles."""

    ONE_SECOND = "1s"
    TEN_SECONDS = "10s"
    ONE_MINUTE = "1m"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(candles)
    app.add_typer(group, name="speed", no_args_is_help=True)


def candles(
    instrument: Annotated[list[str] | None, typer.Argument(help="only these; all if none")] = None,
    *,
    width: Annotated[Width | None, typer.Option(help="only this width")] = None,
    venues: Annotated[bool, typer.Option(help="each venue, too, not only all together")] = False,
    watch: Annotated[bool, typer.Option(help="look five times a second until interrupted")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """The candles that `ingest --follow` is making: windows still open, the newest first."""
    settings = load_settings()
    asked = (instrument or [], width.value if width else None, venues)
    if json:
        console.as_json(_rows(settings, *asked))
    elif watch:
        _watch(settings, *asked)
    else:
        rows = _rows(settings, *asked)
        if not rows:
            console.out.print("No candle is being made: `ticklake ingest --follow` makes them.")
            return
        console.out.print(_table(rows))


@group.command()
def replay(
    anew: Annotated[
        bool, typer.Option(help="forget what is stored, start at the first commit")
    ] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Make the candles of what landed while no `ingest --follow` ran, as if one had."""
    from ingestion.speed.settle import store_landed

    done = store_landed(load_settings(), anew=anew)
    if json:
        console.as_json({dataset: {"rows": r, "candles": c} for dataset, (r, c) in done.items()})
        return
    rows = [(dataset, *counts) for dataset, counts in done.items()]
    console.table("Speed candles", ["dataset", "rows taken in", "candles stored"], rows)


def _rows(
    settings: Settings, instruments: list[str], width: str | None, venues: bool
) -> list[dict[str, Any]]:
    import polars as pl

    from ingestion.speed.active import active_candles

    found = active_candles(settings)
    if instruments:
        found = found.filter(pl.col("instrument_id").is_in(instruments))
    if width:
        found = found.filter(pl.col("width") == width)
    if not venues:
        found = found.filter(pl.col("venue") == "ALL")
    now = time.time_ns()
    aged = found.with_columns(
        age_s=((now - pl.col("last_event_ns")) / 1e9).round(3),
        shown_ms=((now - pl.col("shown_at_ns")) / 1e6).round(0),
    )
    order = {w: place for place, w in enumerate(Width)}
    by = ["instrument_id", "venue", pl.col("width").replace_strict(order), "window_start"]
    return aged.sort(by, descending=[False, False, False, True]).to_dicts()


def _watch(settings: Settings, instruments: list[str], width: str | None, venues: bool) -> None:
    from rich.live import Live

    with Live(console=console.out, auto_refresh=False) as live:
        try:
            while True:
                live.update(_table(_rows(settings, instruments, width, venues)), refresh=True)
                time.sleep(1 / LOOKS_A_SECOND)
        except KeyboardInterrupt:
            return


def _table(rows: list[dict[str, Any]]) -> Any:
    shown = {
        "instrument": "instrument_id",
        "venue": "venue",
        "width": "width",
        "from": "window_start",
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "volume": "volume",
        "trades": "trade_count",
        "vwap": "vwap",
        "age s": "age_s",
        "late": "late_rows",
        "late volume": "late_quantity",
    }
    cells = [[row[name] for name in shown.values()] for row in rows]
    return console.made_table(list(shown), cells)
