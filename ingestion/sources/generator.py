"""The generator as a source: a day's stream of one dataset is one unit, landed without a broker."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from ingestion.sources.base import Positions
from lake.bronze import Span
from lake.settings import Settings


class GeneratorSource:
    """One day of one dataset. The stream is a function of the plan, so positions stay true."""

    def __init__(self, contract: Contract, settings: Settings, plan: Plan, day: date) -> None:
        self.contract = contract
        self.settings = settings
        self.plan = plan
        self.day = day
        self.unit = f"generator:{digest(plan)}/{contract.dataset}/{day}"

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """The rest of the stream in batches of batch_rows."""
        generated = stream(self.plan, self.contract.dataset, self.day)
        size = len(generated.values)
        for first in range(positions(self.unit), size, self.settings.batch_rows):
            following = min(first + self.settings.batch_rows, size)
            records = generated.values[first:following]
            yield self._batch(records, generated.recv_ts_ms[first:following], first)

    def acknowledge(self, batch: Batch) -> None:
        """Nothing to tell: the stream can always be made again."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _batch(self, records: list[bytes], received_ms: npt.NDArray[np.int64], first: int) -> Batch:
        count = len(records)
        provenance = pl.DataFrame(
            {
                "recv_ts_ns": pl.Series(received_ms, dtype=pl.Int64) * 1_000_000,
                "unit": pl.Series([self.unit] * count),
                "position": pl.int_range(first, first + count, eager=True),
                "delivery_unit": pl.Series([None] * count, dtype=pl.String),
            }
        )
        return Batch(
            contract=self.contract,
            source=self.contract.topic,
            provenance=provenance,
            spans=[Span(self.unit, first, first + count, count)],
            raw=lambda places: [records[place] for place in places],
            decode=partial(decode_json, self.contract, records, self.settings.max_record_bytes),
        )


def digest(plan: Plan) -> str:
    """Short name of a plan: equal plans make equal streams."""
    return sha256(repr(plan).encode()).hexdigest()[:12]
