"""ticklake alpaca: land Alpaca's history, and its stream."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.build import DAY
from ticklake.commands.ingest import JSON, show

if TYPE_CHECKING:
    from ingestion.sources.alpaca_history import Chosen

SYMBOLS = typer.Option("--symbols", "-s", help="with commas between: AAPL,MSFT, or BTC/USD,ETH/USD")
CRYPTO = typer.Option("--crypto", help="crypto instead of stocks")
TRADES = typer.Option("--trades", help="trades; without any of the three: trades and quotes")
QUOTES = typer.Option("--quotes", help="quotes")
BARS = typer.Option("--bars", help="bars")

group = typer.Typer(help="Land stocks and crypto from Alpaca.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="alpaca")


@group.command()
def history(
    *,
    symbols: Annotated[str, SYMBOLS],
    start: Annotated[datetime, typer.Option("--from", "-f", formats=DAY, help="first UTC day")],
    end: Annotated[
        datetime, typer.Option("--to", "-t", formats=DAY, help="the day after the last")
    ],
    crypto: Annotated[bool, CRYPTO] = False,
    trades: Annotated[bool, TRADES] = False,
    quotes: Annotated[bool, QUOTES] = False,
    bars: Annotated[bool, BARS] = False,
    interval: Annotated[str, typer.Option(help="width of the bars: 1m, 5m, 1h or 1d")] = "1m",
    edition: Annotated[
        int, typer.Option(min=1, max=99, help="above 1: land days anew that Alpaca has changed")
    ] = 1,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Land whole UTC days of history. Each day of a symbol lands once; run it again to go on."""
    from ingestion.vendors import NothingAsked, land_alpaca_history

    settings = load_settings()
    chosen = _chosen(crypto, trades, quotes, bars, settings.alpaca_feed, interval)
    names = _symbols(symbols, crypto)
    units = len(chosen) * len(names) * max((end - start).days, 0)
    with console.progress("asking Alpaca", units) as bar:
        try:
            landings = land_alpaca_history(
                settings,
                chosen,
                names,
                start.date(),
                end.date(),
                edition=edition,
                done=lambda window: bar.advance(1, window.unit.partition(":")[2]),
            )
        except NothingAsked as error:
            raise console.stop(str(error), 2) from None
    show(landings, json)


@group.command()
def stream(
    *,
    symbols: Annotated[str, SYMBOLS],
    crypto: Annotated[bool, CRYPTO] = False,
    trades: Annotated[bool, TRADES] = False,
    quotes: Annotated[bool, QUOTES] = False,
    bars: Annotated[bool, BARS] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Stay and land records as they come; what a break cost is fetched from history."""
    from ingestion.vendors import land_alpaca_stream

    settings = load_settings()
    chosen = _chosen(crypto, trades, quotes, bars, settings.alpaca_feed, "1m")
    names = _symbols(symbols, crypto)
    with console.progress("listening to Alpaca") as bar, stopped_by_signals() as stopped:

        def landed(commit: object) -> None:
            bar.advance(commit.ok + commit.rejected, f"landing {commit.dataset}")  # type: ignore[attr-defined]

        landings = land_alpaca_stream(settings, chosen, names, stopped, landed)
    show(landings, json)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that what has come is landed before the end."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _chosen(
    crypto: bool, trades: bool, quotes: bool, bars: bool, feed: str, interval: str
) -> list["Chosen"]:
    from ingestion.sources.alpaca_history import Chosen
    from ingestion.sources.alpaca_wire import KINDS, TIMEFRAMES, Market

    if interval not in TIMEFRAMES:
        raise console.stop(f"--interval is one of {', '.join(TIMEFRAMES)}, not {interval}", 2)
    market = Market("crypto", "us") if crypto else Market("stocks", feed)
    asked = {"trades": trades, "quotes": quotes, "bars": bars}
    if not any(asked.values()):
        asked |= {"trades": True, "quotes": True}
    return [Chosen(market, kind, interval) for kind in KINDS if asked[kind]]


def _symbols(given: str, crypto: bool) -> list[str]:
    names = list(dict.fromkeys(name.strip().upper() for name in given.split(",") if name.strip()))
    wrong = [name for name in names if ("/" in name) != crypto or not _is_symbol(name)]
    if not names or wrong:
        kind = "crypto, such as BTC/USD" if crypto else "stocks, such as AAPL or BRK.B"
        raise console.stop(f"--symbols wants names of {kind}; got {', '.join(wrong) or given!r}", 2)
    return names


def _is_symbol(name: str) -> bool:
    return name.replace("/", "").replace(".", "").isalnum() and name.isascii()
