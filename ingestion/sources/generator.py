"""The generator as a source: a day's stream of one dataset is one unit, landed without a broker."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256

import numpy as np
import polars as pl

from contracts.base import Contract
from ingestion.batch import Batch, Decoded
from ingestion.decode import decode_json
from ingestion.generate.clock import Ints
from ingestion.generate.plan import Plan
from ingestion.generate.stream import Block, blocks
from ingestion.sources.base import Positions
from lake.bronze import Span
from lake.settings import Settings

# No sound message of the generator is longer, so above it the limit on records cuts none off.
LONGEST_MESSAGE = 8_192

Blocks = Callable[[], Iterator[Block]]


@dataclass(frozen=True)
class Unit:
    """A stream that can be made again: its name, and its blocks in order."""

    name: str
    blocks: Blocks


class GeneratorSource:
    """One day of one dataset. The stream is a function of the plan, so positions stay true.

    The canonical columns of a sound message are known before it is text, so they take no detour
    over JSON; what lands is what landing the JSON would have given.
    """

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        plan: Plan,
        day: date,
        unit: Unit | None = None,
    ) -> None:
        """`unit` stands in for the plan's own stream of the day."""
        self.contract = contract
        self.settings = settings
        own = Unit(
            f"generator:{digest(plan)}/{contract.dataset}/{day}",
            partial(blocks, plan, contract.dataset, day),
        )
        self._blocks = (unit or own).blocks
        self.unit = (unit or own).name

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """The rest of the stream in batches of at most batch_rows, none across two blocks."""
        start = positions(self.unit)
        for block in self._blocks():
            for first in range(max(0, start - block.first), len(block), self.settings.batch_rows):
                yield self._batch(block, range(len(block))[first:][: self.settings.batch_rows])

    def acknowledge(self, batch: Batch) -> None:
        """Nothing to tell: the stream can always be made again."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _batch(self, block: Block, places: range) -> Batch:
        """The messages of the block at `places`, which follow each other."""
        first, following = block.first + places.start, block.first + places.stop
        provenance = pl.select(
            pl.Series("recv_ts_ns", block.recv_ms[places.start : places.stop] * 1_000_000),
            pl.lit(self.unit).alias("unit"),
            pl.int_range(first, following).alias("position"),
            pl.lit(None, pl.String).alias("delivery_unit"),
        )
        return Batch(
            contract=self.contract,
            source=self.contract.topic,
            provenance=provenance,
            spans=[Span(self.unit, first, following, len(places))],
            raw=lambda chosen: _raw(block, [places[place] for place in chosen]),
            decode=partial(self._decode, block, places),
        )

    def _decode(self, block: Block, places: range) -> Decoded:
        """What decode_json would make of the messages."""
        limit = self.settings.max_record_bytes
        if limit < LONGEST_MESSAGE:
            return decode_json(self.contract, _raw(block, places), limit)
        whole = block.typed.slice(places.start, len(places))
        whole = whole.with_columns(i=pl.int_range(len(places), dtype=pl.UInt32))
        inside = (block.damaged >= places.start) & (block.damaged < places.stop)
        damaged = block.damaged[inside]
        read = decode_json(self.contract, _raw(block, damaged), limit)
        place = pl.Series("i", damaged - places.start, dtype=pl.UInt32)
        rows, rejects = (
            frame.with_columns(i=place.gather(frame["i"])) for frame in (read.frame, read.rejects)
        )
        sound = whole.filter(~pl.col("i").is_in(place.implode())) if len(place) else whole
        return Decoded(pl.concat([sound, rows.select(whole.columns)]).sort("i"), rejects)


def _raw(block: Block, places: Sequence[int] | Ints) -> list[bytes]:
    found: list[bytes] = block.take(np.asarray(places, dtype=np.int64)).values.to_list()
    return found


def digest(plan: Plan) -> str:
    """Short name of a plan: equal plans make equal streams."""
    return sha256(repr(plan).encode()).hexdigest()[:12]
