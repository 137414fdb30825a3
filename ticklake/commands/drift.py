"""ticklake drift: do the speed layer's candles agree with those of batch?"""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lake.settings import load_settings
from ticklake import console
from ticklake.commands.build import DAY
from ticklake.commands.ingest import JSON

if TYPE_CHECKING:
    from checks.drift import Drift, Run

_RATIOS = ("volume_drift_pct", "missing_pct", "price_alert_pct")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drift)


def drift(
    day: Annotated[datetime | None, typer.Option(formats=DAY, help="this UTC day only")] = None,
    width: Annotated[str | None, typer.Option(help="1s, 10s or 1m; all of them if none")] = None,
    worst: Annotated[int, typer.Option(min=0, help="windows to print")] = 10,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Compare the speed layer's candles with those of batch; exit 1 if a run fails."""
    from checks.drift import WIDTHS
    from checks.drift import drift as judge

    if width is not None and width not in WIDTHS:
        raise console.stop(f"no candles of width {width!r}; there are {', '.join(WIDTHS)}", 2)
    settings = load_settings()
    found = judge(settings, day.date() if day else None, width, worst)
    if json:
        console.as_json(
            {
                "runs": [_told(run) for run in found.runs],
                "totals": [_told(run) for run in found.totals],
                "causes": found.causes,
                "windows": found.windows,
            }
        )
    elif found.runs:
        _show(found)
    else:
        asked = " for that day and width" if day or width else ""
        console.out.print(
            f"No windows to compare{asked}: the last build saw no speed candles of the trades "
            f"under {settings.root}. They are made while records land and compared by the next "
            "`ticklake build` (docs/drift.md)."
        )
    failed = [run for run in found.runs if not run.passed]
    if failed:
        raise console.stop("candles drift:\n" + "\n".join(f"  {run.told()}" for run in failed))


def _told(run: "Run") -> dict[str, Any]:
    return {**asdict(run), **{name: getattr(run, name) for name in _RATIOS}, "passed": run.passed}


def _show(found: "Drift") -> None:
    runs = [*found.runs, *(found.totals if len({run.day for run in found.runs}) > 1 else ())]
    console.table(
        f"Speed candles against batch candles, limit {runs[0].limit_pct.normalize():f} %",
        ["day", "width", "windows", "missing", "extra", "volume drift %", "missing %", "prices %",
         "passes"],
        [
            (run.day or "all", run.width, run.windows, run.missing, run.extra, run.volume_drift_pct,
             run.missing_pct, run.price_alert_pct, run.passed)
            for run in runs
        ],
    )  # fmt: skip
    console.table(
        "Why",
        ["width", "cause", "windows", "volume"],
        [(c.width, c.cause, c.windows, c.volume_difference) for c in found.causes],
    )
    console.table(
        "Worst windows, in gold.candle_drift",
        ["window", "width", "instrument", "venue", "status", "cause", "alert", "price drift %",
         "volume", "trades"],
        [
            (w.window_start, w.width, w.instrument_id, w.venue, w.status, w.cause, w.is_alert,
             w.price_drift_pct and round(w.price_drift_pct, 4), w.volume_diff, w.count_diff)
            for w in found.windows
        ],
    )  # fmt: skip
