"""How the command line speaks: tables for people, JSON for programs, progress on a terminal."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

# Into a pipe or a log there is no window to fit into.
_WIDTH = None if sys.stdout.isatty() else 140

out = Console(width=_WIDTH, highlight=False)
err = Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers are right-aligned and grouped in thousands."""
    if title:
        out.print(f"\n[bold]{title}[/]")
    out.print(made_table(columns, rows))


def made_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table as `table` prints it."""
    shown = [list(row) for row in rows]
    made = Table(header_style="bold cyan")
    for place, name in enumerate(columns):
        values = [row[place] for row in shown if row[place] is not None]
        numeric = bool(values) and all(isinstance(v, int | float | Decimal) for v in values)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        made.add_row(*(_cell(value) for value in row))
    return made


def as_json(value: Any) -> None:
    """Print a value as JSON; decimals and times as text, so that nothing is lost."""
    out.print_json(json.dumps(value, default=_plain))


def stop(message: str, code: int = 1) -> "NoReturnExit":
    """The exit to raise after saying on stderr what went wrong."""
    err.print(f"[bold red]error:[/] {message}", soft_wrap=True)
    return NoReturnExit(code)


class NoReturnExit(SystemExit):
    """Ends the program with a code after the reason was printed."""


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator["Bar"]:
    """A progress bar on a terminal; nothing elsewhere."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        yield Bar(shown, shown.add_task(label, total=total))


@contextmanager
def rates(totals: Mapping[str, int | None]) -> Iterator[Callable[[str, int], None]]:
    """A bar per name with its rate, on a terminal; call what it gives with a name and a number."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        tasks = {
            name: shown.add_task(name, start=False, total=total) for name, total in totals.items()
        }

        def advance(name: str, by: int) -> None:
            shown.start_task(tasks[name])
            shown.advance(tasks[name], by)

        yield advance


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


@dataclasses.dataclass
class Bar:
    """Handle of a running progress bar."""

    shown: Progress
    task: Any

    def advance(self, by: int = 1, label: str | None = None, total: int | None = None) -> None:
        """Move on by a number of steps, and say what is being done."""
        update: dict[str, Any] = {"advance": by}
        if label is not None:
            update["description"] = label
        if total is not None:
            update["total"] = total
        self.shown.update(self.task, **update)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        normal = value.normalize() if value else Decimal(0)
        return f"{normal:,f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return sorted(value) if isinstance(value, set | frozenset) else list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot print {type(value)} as JSON")


def is_terminal() -> bool:
    """Is somebody watching?"""
    return sys.stderr.isatty()
