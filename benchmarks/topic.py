"""The topic that everybody reads: generated trades on a broker of its own process."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from confluent_kafka.admin import AdminClient, NewTopic

from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import Block, blocks, truth
from ingestion.produce import Sender
from lake.settings import Settings, load_settings
from ticklake.services import broker

DAY = date(2025, 10, 2)
TOPIC = registry.get("trades").topic
OPTIONAL = ("venue", "sequence", "trader_id")
SECONDS = 10


class TopicInUse(RuntimeError):
    """The broker has trades of somebody else's."""


@dataclass(frozen=True)
class Shape:
    """What the trades look like: `lean` ones have the six fields that R3 requires, and short ids.

    The generator's own carry trader, venue and sequence too: 191 bytes instead of 141.
    """

    name: str
    fault_share: float
    lean: bool

    def plan(self, records: int) -> Plan:
        """The market in which they are dealt."""
        quotes = max(1_000, records // 3)
        return Plan(days=(DAY,), quotes=quotes, trades=records, fault_share=self.fault_share)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("clean", 0.0, True),
        Shape("faulty", 0.05, True),
        Shape("generated", 0.05, False),
    )
}


@dataclass(frozen=True)
class Filled:
    """A topic that is ready. `rejected` says how many of its records break the contract."""

    shape: Shape
    bootstrap: str
    records: int
    value_bytes: float
    rejected: int

    @property
    def title(self) -> str:
        """What is on it, in words."""
        return (
            f"{self.records:,} trades of {self.value_bytes:.0f} bytes, "
            f"{self.shape.fault_share:.0%} faults"
        )


def messages(shape: Shape, records: int) -> Iterator[Block]:
    """The trades of a shape, a block at a time."""
    for block in blocks(shape.plan(records), "trades", DAY):
        yield _lean(block) if shape.lean else block


def _lean(block: Block) -> Block:
    short = pl.col("trade_id").str.strip_prefix(f"TRD_{DAY:%Y%m%d}_")
    return Block(block.form, block.frame.drop(OPTIONAL).with_columns(short), block.first)


@contextmanager
def filled(shape: Shape, records: int, bootstrap: str, folder: Path) -> Iterator[Filled]:
    """A topic with so many trades: on an embedded broker, or at `bootstrap`, gone afterwards."""
    with running(bootstrap, folder) as settings:
        sent, size = 0, 0
        with Sender(settings) as sender:
            for block in messages(shape, records):
                values = block.values.to_list()
                sender.send(TOPIC, block.keys.to_list(), values, block.recv_ms.tolist())
                sent += len(values)
                size += int(np.sum([len(value) for value in values]))
        expected = truth(shape.plan(records)).filter(verdict="rejected").height
        yield Filled(shape, settings.kafka_bootstrap, sent, size / sent, expected)


@contextmanager
def running(bootstrap: str, folder: Path) -> Iterator[Settings]:
    """A broker with an empty topic of trades; yields settings that lead there.

    Raises TopicInUse when the broker at `bootstrap` has that topic already: everything on it
    would be measured too, and nobody's records are to be deleted here.
    """
    address = bootstrap or f"127.0.0.1:{free_port()}"
    settings = load_settings({"LAKE_URI": str(folder), "TICKLAKE_KAFKA_BOOTSTRAP": address})
    with ExitStack() as stack:
        if bootstrap:
            admin = AdminClient({"bootstrap.servers": bootstrap})
            if TOPIC in admin.list_topics(timeout=SECONDS).topics:
                raise TopicInUse(
                    f"{bootstrap} has a topic {TOPIC}; measure on a broker of its own, "
                    "or delete the topic if it is of an earlier measurement"
                )
            made = admin.create_topics([NewTopic(TOPIC, broker.PARTITIONS, 1)])
            made[TOPIC].result(SECONDS)
            stack.callback(lambda: admin.delete_topics([TOPIC])[TOPIC].result(SECONDS))
        else:
            broker.start(settings)
            stack.callback(broker.stop, settings)
        yield settings


def free_port() -> int:
    """A port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
