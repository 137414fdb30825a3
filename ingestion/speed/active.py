"""Candles that may still change, shown to other processes: one small file, replaced whole.

It is a picture for eyes, five times a second at most. What is stored and compared is in `speed/`.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

import polars as pl

from ingestion.speed.candles import CANDLES, candles_of, decimal
from ingestion.speed.landed import DATASETS
from ingestion.speed.rules import Columns
from ingestion.speed.settled import Settled
from lake.layout import Layout, layout
from lake.settings import Settings

_ACTIVE: Columns = {
    **{n: dtype for n, dtype in CANDLES.items() if n not in ("is_final", "event_date")},
    "vwap": pl.Decimal(38, 9),
    "last_event_ns": pl.Int64,
    "late_rows": pl.Int64,
    "late_quantity": pl.Decimal(38, 8),
    "shown_at_ns": pl.Int64,
}
ACTIVE = pl.Schema(_ACTIVE)


def active_candles(lake: Settings | Layout, dataset: str | None = None) -> pl.DataFrame:
    """The open windows of a dataset, or of all, as the resident process last showed them.

    Schema ACTIVE. `late_rows` and `late_quantity` count what came too late for a candle of that
    instrument and width since its stream began; `shown_at_ns` is when the file was written and
    `last_event_ns` the newest event in the window, both ns since epoch UTC. Empty where no
    resident process has shown any.
    """
    place = lake if isinstance(lake, Layout) else layout(lake)
    parts = [pl.DataFrame(schema=ACTIVE)]
    for name in [dataset] if dataset else DATASETS:
        with suppress(FileNotFoundError):
            parts.append(pl.read_ipc(place.active_candles(name)))
    return pl.concat(parts)


def show(place: Layout, settled: Settled, opened: Mapping[str, pl.DataFrame]) -> None:
    """Replace what is shown of a dataset by windows (schema windows.WINDOWS), by width."""
    path = place.active_candles(settled.dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    _frame(settled, opened).write_ipc(draft)
    draft.replace(path)


def hide(place: Layout, dataset: str) -> None:
    """Show nothing of a dataset any more."""
    place.active_candles(dataset).unlink(missing_ok=True)


def _frame(settled: Settled, opened: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    every = pl.concat(
        windows.with_columns(
            width=pl.lit(width), is_final=pl.lit(False), bronze_version=pl.lit(settled.version)
        )
        for width, windows in opened.items()
    )
    late = settled.late.rename({"rows": "late_rows", "quantity": "late_units"})
    counted = every.join(
        late, on=["stream", "instrument_id", "width"], how="left", maintain_order="left"
    )
    beside = counted.select(
        vwap=_vwap(),
        last_event_ns=pl.col("close_event_ts_ns"),
        late_rows=pl.col("late_rows").fill_null(0),
        late_quantity=decimal("late_units", 8).fill_null(0),
        shown_at_ns=pl.lit(time.time_ns()),
    )
    both = pl.concat([candles_of(counted, settled.dataset), beside], how="horizontal")
    return both.select(pl.col(name).cast(dtype) for name, dtype in ACTIVE.items())


def _vwap() -> pl.Expr:
    """vwap_notional / vwap_quantity to nine digits, half up; null where there is no quantity.

    The integers are units of 1e-12 and 1e-8: 10^5 more makes the ratio one of 1e-9.
    """
    paid, quantity = pl.col("vwap_notional"), pl.col("vwap_quantity")
    ratio = (paid * 100_000 * 2 + quantity) // (quantity * 2)
    units = pl.when(quantity > 0).then(ratio)
    return units.cast(pl.Decimal(38, 0)) * pl.lit("0.000000001").str.to_decimal(scale=9)
