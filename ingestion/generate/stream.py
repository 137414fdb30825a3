"""The generator's front: streams of messages, and the truth about the faults in them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from hashlib import md5
from importlib import import_module
from typing import Protocol, cast

import numpy as np
import polars as pl

from ingestion.generate import faults
from ingestion.generate.clock import Ints
from ingestion.generate.encode import Form, json_text, json_values, members, typed
from ingestion.generate.plan import Plan

__all__ = ["DATASETS", "Block", "Plan", "Stream", "blocks", "datasets", "stream", "truth"]

# In the order in which a day needs them: what an instrument is comes before its market.
DATASETS = (
    "securities",
    "quotes",
    "trades",
    "orders",
    "market_data",
    "book_updates",
    "positions",
    "posts",
    "bars",
)
FAULTY = "trades"  # the dataset that carries faults
TRUTH_SCHEMA = {
    "dataset": pl.String,
    "day": pl.Date,
    "message": pl.Int64,
    "trade_id": pl.String,
    "recv_ms": pl.Int64,
    "kind": pl.String,
    "verdict": pl.String,
    "code": pl.String,
    "silver": pl.String,
    "destination": pl.String,
    "digest": pl.String,
    "original": pl.String,
}

Bend = Callable[[pl.DataFrame], pl.DataFrame]


class _Dataset(Protocol):
    """What every module that makes a dataset offers."""

    FORM: Form

    @staticmethod
    def rows(plan: Plan, day: date) -> Iterator[pl.DataFrame]:
        """One day's messages in arrival order, a block at a time."""


@dataclass(frozen=True)
class Block:
    """Some messages of one day's stream, in the order they arrive.

    `frame` has a row per message: the contract's columns as encode.py wants them, `recv_ms`, and
    for trades the `fault` of the message. `first` is the place of the first one in the stream.
    """

    form: Form
    frame: pl.DataFrame
    first: int = 0

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def values(self) -> pl.Series:
        """The messages as bytes of JSON (a malformed one is not JSON)."""
        sound = json_values(self.form, self.frame)
        if not len(self.damaged):
            return sound
        place = np.arange(len(self))
        place[self.damaged] = len(self) + np.arange(len(self.damaged))
        return pl.concat([sound, _damaged_values(self.form, self.frame[self.damaged])])[place]

    @property
    def keys(self) -> pl.Series:
        """What each message is keyed by on Kafka, as bytes."""
        return self.frame[self.form.contract.key].cast(pl.Binary)

    @property
    def recv_ms(self) -> Ints:
        """When each message arrives, ms since epoch UTC."""
        return self.frame["recv_ms"].to_numpy()

    @cached_property
    def damaged(self) -> Ints:
        """Places of the messages whose bytes are damaged, so that no column tells what they say."""
        if "fault" not in self.frame.columns:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.frame["fault"].is_in(faults.OF_TEXT).fill_null(False).to_numpy())

    @cached_property
    def typed(self) -> pl.DataFrame:
        """All messages as canonical columns; the damaged ones as they were before."""
        return typed(self.form, self.frame)

    def take(self, places: Ints) -> "Block":
        """The messages at `places`, which need not follow each other: for looking at some."""
        return Block(self.form, self.frame[places], self.first)


@dataclass(frozen=True)
class Stream:
    """Messages in the order they arrive; the three fields are parallel.

    `values` are the JSON bytes (a malformed message is not JSON), `keys` the instrument ids,
    `recv_ts_ms` the arrival times, ms since epoch UTC, never decreasing.
    """

    values: list[bytes]
    keys: list[bytes]
    recv_ts_ms: Ints


def datasets(plan: Plan) -> tuple[str, ...]:
    """The datasets of which the plan asks for some messages."""
    wanted = {
        "positions": plan.snapshot_minutes if plan.trades else 0,
        "bars": plan.bars and plan.trades,
    }
    return tuple(name for name in DATASETS if wanted.get(name, getattr(plan, name, 0)))


def blocks(plan: Plan, dataset: str, day: date) -> Iterator[Block]:
    """One dataset's messages of one day in arrival order: the same plan gives the same bytes.

    Raises ValueError for a dataset that is not generated or a day that is not in the plan.
    """
    module = module_of(dataset)
    plan.position(day)
    first = 0
    for frame in module.rows(plan, day):
        if frame.height:
            yield Block(module.FORM, frame, first)
            first += frame.height


def stream(plan: Plan, dataset: str, day: date) -> Stream:
    """All of `blocks` at once, as lists: for small plans."""
    made = list(blocks(plan, dataset, day))
    return Stream(
        values=[value for block in made for value in block.values],
        keys=[key for block in made for key in block.keys],
        recv_ts_ms=np.concatenate([np.empty(0, np.int64), *(block.recv_ms for block in made)]),
    )


def module_of(dataset: str) -> _Dataset:
    """The module that makes a dataset. Raises ValueError where there is none."""
    if dataset not in DATASETS:
        raise ValueError(f"generator: no dataset {dataset!r}; it makes {', '.join(DATASETS)}")
    return cast(_Dataset, import_module(f"ingestion.generate.{dataset}"))


def truth(plan: Plan) -> pl.DataFrame:
    """What must become of every faulty message, one row for each, by day and message.

    Columns: dataset, day, message (index from 0 in that day's stream), trade_id (null where the
    message carries none that can be read), recv_ms (arrival, ms since epoch UTC), kind, verdict
    (ok | rejected), code (reject code or null), silver (kept | duplicate | none), destination
    (quarantine | duplicate | late | outlier | parked), digest (md5 of the message's bytes, hex),
    original (JSON before the fault was put in).
    Messages that are not listed are ok and kept.
    """
    return truth_of(plan, plan.days, lambda frame: frame)


def truth_of(plan: Plan, days: tuple[date, ...], bend: Bend) -> pl.DataFrame:
    """`truth` of some days, whose rows are sent as `bend` makes them; it works row by row."""
    if not plan.fault_share or not plan.trades:
        return pl.DataFrame(schema=TRUTH_SCHEMA)
    routing = pl.DataFrame([asdict(fault) for fault in faults.FAULTS])
    told = [
        _told(plan, day, block, bend)
        for day in days
        for block in blocks(plan, FAULTY, day)
        if block.frame["fault"].null_count() < len(block)
    ]
    if not told:
        return pl.DataFrame(schema=TRUTH_SCHEMA)
    routed = pl.concat(told).join(routing, on="kind", how="left", maintain_order="left")
    return routed.select(pl.col(name).cast(dtype) for name, dtype in TRUTH_SCHEMA.items())


def _told(plan: Plan, day: date, block: Block, bend: Bend) -> pl.DataFrame:
    """The faulty messages of a block: where they stand, what they say and what they said before."""
    faulty = block.frame["fault"].is_not_null().arg_true().to_numpy()
    sent = Block(block.form, bend(block.frame[faulty]))
    sound = json_values(block.form, bend(_sound(plan, day, block.frame[faulty])))
    wire = faults.damage_members(_wire(sent.form, sent.frame)).with_columns(sent.frame["trade_id"])
    return pl.DataFrame(
        {
            "dataset": [FAULTY] * len(sent),
            "day": [day] * len(sent),
            "message": block.first + faulty,
            "trade_id": wire.select(faults.readable_trade_id()).to_series(),
            "recv_ms": sent.frame["recv_ms"],
            "kind": sent.frame["fault"],
            "digest": [md5(value, usedforsecurity=False).hexdigest() for value in sent.values],
            "original": sound.cast(pl.String),
        }
    )


def _sound(plan: Plan, day: date, faulty: pl.DataFrame) -> pl.DataFrame:
    """The trades that faulty messages are of, as sound messages would tell them."""
    from ingestion.generate import trades

    happened = faulty.select("trade_id").join(
        trades.trade_day(plan, day), on="trade_id", how="left", maintain_order="left"
    )
    return trades.columns(plan, happened, faulty["recv_ms"].to_numpy())


def _damaged_values(form: Form, frame: pl.DataFrame) -> pl.Series:
    """Bytes of messages with a fault of text."""
    wire = _wire(form, frame)
    keys = [name for name in wire.columns if name not in ("fault", "variant", "amount")]
    text = faults.damage_members(wire).select("fault", "variant", "amount", value=json_text(keys))
    return faults.damage_text(text)["value"]


def _wire(form: Form, frame: pl.DataFrame) -> pl.DataFrame:
    """The members of the messages, and what is to be done to them."""
    return members(form, frame).hstack(frame.select("fault", "variant", "amount"))
