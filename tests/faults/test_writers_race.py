"""Two writers of one topic-partition: the second is refused, and leaves nothing in the table."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from deltalake import DeltaTable

from contracts import registry
from ingestion.batch import Batch
from ingestion.land import land_batch, land_topics
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter, PositionTaken
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages
from tests.oracle import Delivered

TRADES = TOPICS["trades"]


class Worker:
    """A writer with the batch that it has read and not yet committed."""

    def __init__(self, settings: Settings, source: KafkaSource) -> None:
        self.writer = BronzeWriter(registry.get("trades"), layout(settings))
        self.batches = source.batches(self.writer.next_position)

    def read(self) -> Batch:
        return next(batch for batch in self.batches if batch is not None)


@contextmanager
def worker(settings: Settings) -> Iterator[Worker]:
    with closing(KafkaSource(registry.get("trades"), settings, follow=False)) as source:
        yield Worker(settings, source)


@pytest.fixture
def settings(broker: Broker, kafka_lake: Callable[..., Settings]) -> Settings:
    """A lake beside a topic of two partitions with 40 messages."""
    broker.create_topic(TRADES, 2)
    broker.produce(TRADES, messages(1, "trades", 40, 2))
    return kafka_lake(TICKLAKE_BATCH_ROWS=20)


def everything(broker: Broker) -> list[Delivered]:
    """The 40 messages as they must lie in bronze."""
    sent: list[Delivered] = []
    for message in messages(1, "trades", 40, 2):
        unit = broker.unit(TRADES, message.partition)
        position = sum(delivered.unit == unit for delivered in sent)
        raw = message.value or b""
        recv = message.sent_ms * 1_000_000
        sent.append(Delivered(unit, position, recv, raw, TRADES, message.batch_id))
    return sent


def test_a_zombie_that_read_before_another_committed_is_refused(
    settings: Settings, broker: Broker
) -> None:
    table = layout(settings).bronze("trades")
    with worker(settings) as zombie, worker(settings) as living:
        stale, fresh = zombie.read(), living.read()
        landed = land_batch(living.writer, fresh)
        with pytest.raises(PositionTaken):
            land_batch(zombie.writer, stale)
        assert DeltaTable(str(table)).version() == landed.version
        assert len(bronze_rows.rows(table)) == landed.ok + landed.rejected == 20
    land_topics(settings, ("trades",))
    assert bronze_rows.differences("trades", bronze_rows.rows(table), everything(broker)) == []


def test_a_zombie_is_refused_also_after_many_commits_of_the_other(
    settings: Settings, broker: Broker
) -> None:
    table = layout(settings).bronze("trades")
    with worker(settings) as zombie:
        stale = zombie.read()
        land_topics(settings, ("trades",))
        stands = DeltaTable(str(table)).version()
        with pytest.raises(PositionTaken):
            land_batch(zombie.writer, stale)
    assert DeltaTable(str(table)).version() == stands
    assert bronze_rows.differences("trades", bronze_rows.rows(table), everything(broker)) == []


def test_a_writer_whose_batch_starts_beside_its_position_is_refused(settings: Settings) -> None:
    table = layout(settings).bronze("trades")
    with worker(settings) as one:
        batch = one.read()
        land_batch(one.writer, batch)
        with pytest.raises(PositionTaken, match="starts at position 0, the table stands at"):
            land_batch(one.writer, batch)
    assert DeltaTable(str(table)).version() == 1


def test_writers_of_different_partitions_do_not_refuse_each_other(
    settings: Settings, broker: Broker
) -> None:
    """Two handles opened at the same version; each commits a partition of its own."""
    table = layout(settings).bronze("trades")
    contract = registry.get("trades")
    with worker(settings) as reader:
        batches = [batch for batch in (reader.read(), reader.read()) if batch is not None]
    writers = [BronzeWriter(contract, layout(settings)) for _ in range(2)]
    for number, writer in enumerate(writers):
        unit = broker.unit(TRADES, number)
        assert all(batch.spans for batch in batches)
        land_batch(writer, _only(unit, batches))
    assert bronze_rows.differences("trades", bronze_rows.rows(table), everything(broker)) == []


def _only(unit: str, batches: list[Batch]) -> Batch:
    """One batch with the records of one unit out of several batches."""
    import polars as pl

    from ingestion.decode import decode_json
    from lake.bronze import Span

    provenance = pl.concat([batch.provenance for batch in batches])
    records = [raw for batch in batches for raw in batch.raw(range(batch.size))]
    mine = (provenance["unit"] == unit).arg_true().to_list()
    values = [records[place] for place in mine]
    contract = batches[0].contract
    return Batch(
        contract=contract,
        source=batches[0].source,
        provenance=provenance[mine],
        spans=[Span(unit, 0, len(mine), len(mine))],
        raw=lambda places: [values[place] for place in places],
        decode=lambda: decode_json(contract, values, 262_144),
    )
