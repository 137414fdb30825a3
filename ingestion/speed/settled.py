"""What is settled of a dataset at a moment, for other threads: it never changes any more."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ingestion.speed.engine import State
from ingestion.speed.rules import rules
from ingestion.speed.watermark import NOTHING


@dataclass(frozen=True)
class Settled:
    """The open windows after `version` of a dataset's bronze, by width, and what decides on rows.

    `positions` is the first position not settled, of units heard of; `watermarks` (ns since epoch
    UTC) has the streams of which anything was seen; `late` counts rows as State does.
    """

    dataset: str
    version: int
    positions: Mapping[str, int]
    watermarks: Mapping[str, int]
    windows: Mapping[str, pl.DataFrame]
    late: pl.DataFrame

    @classmethod
    def of(cls, state: State, positions: Mapping[str, int] | None = None) -> "Settled":
        """A state as it is now. Its frames are shared: State replaces them, it changes none."""
        return cls(
            dataset=state.dataset,
            version=state.version,
            positions=dict(positions or {}),
            watermarks={
                name: stream.watermark_ns
                for name, stream in state.streams.items()
                if stream.watermark_ns > NOTHING
            },
            windows={width.name: state.windows(width) for width in rules().widths},
            late=state.late,
        )
