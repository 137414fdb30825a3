"""ticklake generate: a market made from a seed, to files, to Kafka or straight to bronze."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands import asked
from ticklake.commands.ingest import JSON

if TYPE_CHECKING:
    from ingestion.generate.endless import Pace
    from ingestion.generate.plan import Plan
    from ingestion.generate.sinks import Job

# As in ingestion/generate/presets.py, plan.py and files.py, which are too heavy to look at here.
Presets = Literal["small", "demo", "high-volume", "full", "firehose"]
Scenarios = Literal["volatility", "arbitrage", "risk"]
Formats = Literal["csv", "jsonl", "parquet"]
Wires = Literal["json", "compact"]
Targets = Literal["files", "kafka", "bronze"]

INTERRUPTED = 130
AGAIN = b"\nstopping; what was sent is being finished. Ctrl-C again stops at once.\n"


def _number(text: str) -> int:
    from ingestion.generate.presets import whole_number

    return whole_number(text)


def _share(text: str) -> float:
    from ingestion.generate.presets import share

    return share(text)


def _size(what: str) -> Any:
    return typer.Option(parser=_number, metavar="N", help=what)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    *,
    to: Annotated[Targets, typer.Option(help="where the messages go")] = "files",
    format: Annotated[Formats | None, typer.Option(help="of files; parquet if not given")] = None,
    wire: Annotated[Wires, typer.Option(help="form of what is sent to Kafka")] = "json",
    out: Annotated[
        Path | None, typer.Option(help="folder of files; <LAKE_LOCAL>/generated if not given")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="only this dataset; may be given several times"),
    ] = None,
    preset: Annotated[
        Presets | None,
        typer.Option(help="sizes to start from; without one, the sizes given, or the demo's"),
    ] = None,
    quotes: Annotated[int | None, _size("dealer quotes: 1200000, 1.2M, 10k")] = None,
    trades: Annotated[int | None, _size("trades")] = None,
    securities: Annotated[int | None, _size("messages of the security master")] = None,
    orders: Annotated[int | None, _size("L3 order messages, 2 % of them trades")] = None,
    market_data: Annotated[int | None, _size("exchange market data")] = None,
    book_updates: Annotated[int | None, _size("order-book updates")] = None,
    snapshot_minutes: Annotated[
        int | None, typer.Option(metavar="M", help="minutes between position snapshots")
    ] = None,
    posts: Annotated[
        float | None, typer.Option(metavar="X", help="mean posts per stock and day")
    ] = None,
    bars: Annotated[bool | None, typer.Option("--bars/--no-bars", help="vendor bars")] = None,
    faults: Annotated[
        float | None,
        typer.Option(parser=_share, metavar="SHARE", help="faulty trade messages, e.g. 5%"),
    ] = None,
    scenario: Annotated[
        Scenarios | None, typer.Option(help="bend the market so that alerts must follow")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="the same seed gives the same bytes")] = None,
    day: Annotated[
        list[datetime] | None,
        typer.Option(formats=["%Y-%m-%d"], help="a session date; may be given several times"),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="this many weekdays")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first of --days")
    ] = None,
    market: Annotated[
        Path | None, typer.Option(help="YAML with stocks, venues, volatilities, rates ...")
    ] = None,
    infinite: Annotated[
        bool, typer.Option("--infinite", help="the day again and again, until Ctrl-C")
    ] = False,
    cycles: Annotated[int | None, typer.Option(min=1, help="passes over the day")] = None,
    speed: Annotated[
        float | None, typer.Option(metavar="N", help="Kafka: market seconds per second")
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Kafka: speed 1, and the session opens now")
    ] = False,
    ramp: Annotated[
        bool, typer.Option("--ramp", help="glide to a cycle's price level in a minute")
    ] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Make a market from a seed: quotes, trades, orders, positions, posts and more.

    With faults or a scenario, the truth about what must become of the messages is written first.
    An endless stream (--infinite, --cycles, --speed, --realtime) repeats one day, each cycle at
    another price level, with ids and a session of its own.
    """
    with _told(ValueError, 2):
        pace = asked.pace(
            to=to, infinite=infinite, cycles=cycles, speed=speed, realtime=realtime, ramp=ramp
        )
        asked.check_target(to, format, wire, out, faults)
        plan = asked.plan(
            preset, market, days=asked.days(day or [], days, first, pace is not None),
            quotes=quotes, trades=trades, securities=securities, orders=orders,
            market_data=market_data, book_updates=book_updates,
            snapshot_minutes=snapshot_minutes, posts=posts, bars=bars, fault_share=faults,
            scenario=scenario, seed=seed,
        )  # fmt: skip
        wanted = asked.datasets(plan, dataset or [], pace is not None)
    _run(to, plan, wanted, pace, out, format or "parquet", wire=wire, json=json)


def _run(
    to: str,
    plan: "Plan",
    wanted: tuple[str, ...],
    pace: "Pace | None",
    out: Path | None,
    format: Formats,
    *,
    wire: Wires,
    json: bool,
) -> None:
    from ingestion.generate.sinks import Job

    settings = load_settings()
    folder = out.expanduser().resolve() if out else settings.local / "generated"
    totals = {name: None if pace else _total(plan, name) for name in wanted}
    began = perf_counter()
    with console.rates(totals) as wrote, _stoppable() as stop, _told(OSError, 1):
        job = Job(settings, plan, wanted, wrote, stop, wire=wire)
        _sink(to, job, pace, folder, format)()
    beside = folder if to == "files" else job.beside
    _show(job, beside, pace is not None, perf_counter() - began, json)
    if stop.is_set() and not (pace and pace.cycles is None):
        raise typer.Exit(INTERRUPTED)


def _sink(
    to: str, job: "Job", pace: "Pace | None", folder: Path, format: Formats
) -> Callable[[], None]:
    from ingestion.generate import endless, sinks

    if pace is None:
        return {
            "files": lambda: sinks.to_files(job, folder, format),
            "kafka": lambda: sinks.to_kafka(job),
            "bronze": lambda: sinks.to_bronze(job),
        }[to]
    return {
        "files": lambda: endless.endless_to_files(job, pace, folder, format),
        "kafka": lambda: endless.endless_to_kafka(job, pace),
        "bronze": lambda: endless.endless_to_bronze(job, pace),
    }[to]


def _total(plan: "Plan", dataset: str) -> int | None:
    """Messages there will be, where that is known before."""
    size = getattr(plan, dataset, None)
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def _show(job: "Job", beside: Path, endless: bool, seconds: float, json: bool) -> None:
    """Print what went out, and where the truth about it lies."""
    tallies = list(job.tallies.values())
    names = ("truth", "scenario") if endless else ("truth.parquet", "scenario.parquet")
    told = [str(beside / name) for name in names if _is_told(job, beside / name)]
    if json:
        facts = {"datasets": [asdict(tally) for tally in tallies], "truth": told}
        console.as_json({**facts, "seconds": seconds, "stopped": job.stop.is_set()})
        return
    console.table(
        f"Generated in {seconds:.1f} s" + (", then stopped" if job.stop.is_set() else ""),
        ["dataset", "messages", "bytes", "seconds", "messages/s", "where"],
        [
            (
                t.dataset,
                t.messages,
                t.bytes,
                round(t.seconds, 2),
                _rate(t.messages, t.seconds),
                t.where,
            )
            for t in tallies
        ],
    )
    for path in told:
        console.out.print(f"What must become of it: {path}", soft_wrap=True)


def _is_told(job: "Job", path: Path) -> bool:
    asked = job.plan.scenario if path.name.startswith("scenario") else job.plan.fault_share
    return bool(asked) and path.exists()


def _rate(messages: int, seconds: float) -> int | None:
    return round(messages / seconds) if seconds else None


@contextmanager
def _stoppable() -> Iterator[Event]:
    """An event that Ctrl-C and TERM set; a second one interrupts at once."""
    stop = Event()

    def stopping(number: int, _: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])
        os.write(2, AGAIN)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stopping) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _told(kind: type[Exception], code: int) -> Iterator[None]:
    """Errors that a person can mend are one message."""
    try:
        yield
    except kind as error:
        raise console.stop(str(error), code) from None
