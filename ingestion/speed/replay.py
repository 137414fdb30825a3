"""All speed candles of a dataset, computed anew from bronze."""

import polars as pl

from ingestion.speed.candles import candles_of
from ingestion.speed.engine import FINISHED, State
from ingestion.speed.landed import landed_since
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
