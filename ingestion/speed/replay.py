"""All speed candles of a dataset, computed anew from bronze."""

import polars as pl

from ingestion.speed.candles import candles_of
from ingestion.speed.engine import FINISHED, State, lateness, segments_of
from ingestion.speed.landed import landed_since
from ingestion.speed.rules import rules
from ingestion.speed.watermark import NOTHING
from lake.layout import Layout, layout
from lake.settings import Settings


def replay(lake: Settings | Layout, dataset: str) -> pl.DataFrame:
    """Every speed candle that a dataset's bronze gives (schema candles.CANDLES), stored nowhere.

    Those whose windows the watermark has not closed are at the end, with is_final false.
    """
    state, finished = replayed(lake, dataset)
    every = pl.concat([finished, state.unfinished()])
    order = ("width", "instrument_id", "venue", "window_start")
    return candles_of(every, dataset).sort(order)


def replayed(
    lake: Settings | Layout, dataset: str, upto: int | None = None
) -> tuple[State, pl.DataFrame]:
    """The state after a version of bronze (the newest), and all that had finished by then."""
    place = lake if isinstance(lake, Layout) else layout(lake)
    state = State(dataset)
    finished = [state.advance(landed) for landed in landed_since(place, dataset, 0, upto)]
    return state, pl.concat([pl.DataFrame(schema=FINISHED), *finished])


def judged(lake: Settings | Layout, dataset: str) -> pl.DataFrame:
    """Every row of a dataset's bronze that becomes a trade, judged as silver.late_trades judges it.

    Columns: unit, position, instrument_id, quantity, event_ts_ns; is_out_of_order, late_1s,
    late_10s, late_1m; watermark_ns before the row, without lateness, null before there was any.
    """
    place = lake if isinstance(lake, Layout) else layout(lake)
    state = State(dataset)
    parts = []
    for landed in landed_since(place, dataset, 0):
        rows = state.judge(landed.rows, list(segments_of(landed))).rows
        late = [lateness(rows, width).alias(f"late_{width.name}") for width in rules().widths]
        parts.append(
            rows.with_columns(*late).select(
                "unit",
                "position",
                "instrument_id",
                "quantity",
                "event_ts_ns",
                *(series.name for series in late),
                is_out_of_order=pl.col("event_ts_ns") < pl.col("newest_ns"),
                watermark_ns=pl.col("seen_ns").replace(NOTHING, None),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame()
