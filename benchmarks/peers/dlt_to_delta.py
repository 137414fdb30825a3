"""dlt to a Delta table on the local disk, in its documented fast ways: pages, and Arrow tables.

objects: pages of dictionaries, judged by a Pydantic model with the schema contract `discard_row`.
    The checks are those of our contract: keys, types, positive price and quantity within the same
    digits, side, event time from 1990 to five seconds after reception. A row that fails is dropped:
    dlt keeps neither its bytes nor the reason. Numbers pass through a float on their way (orjson),
    and become decimals by their shortest text.
judged_arrow: the same model, applied by the resource itself to the bytes of each record, and what
    passes handed to dlt as Arrow tables, which it does not look into again.
arrow: Arrow tables read by pyarrow's JSON reader under a fixed schema, frozen against change. No
    rule is judged, because dlt has none for Arrow, and one malformed record fails the whole load.

Positions are kept in the resource's state, which dlt loads with the rows, as its own Kafka source
does. All write one load package for all records, the least overhead there is. Not done: rejected
rows kept, repeated keys refused, fsync, fencing of a second writer, control totals.
"""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "100000",
}

import dlt
import orjson
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from deltalake import DeltaTable
from dlt.common.libs.pydantic import DltConfig
from pyarrow import json as arrow_json
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from benchmarks.peers.reading import (
    CLOCK_SKEW_SECONDS,
    EARLIEST,
    FAST,
    POLL_RECORDS,
    POLL_SECONDS,
    WARM_RECORDS,
)
from benchmarks.worker import Job, serve

BATCH_RECORDS = 100_000  # of an Arrow table, as of our batches
FIRST = datetime.fromisoformat(EARLIEST)
SKEW = timedelta(seconds=CLOCK_SKEW_SECONDS)
SCHEMA = pa.schema(
    [
        ("tradeId", pa.string()),
        ("instrumentId", pa.string()),
        ("price", pa.decimal128(18, 9)),
        ("quantity", pa.decimal128(28, 8)),
        ("timestamp", pa.timestamp("ns", "UTC")),
        ("buySellIndicator", pa.string()),
    ]
)


class Wire(BaseModel):
    """A trade with the fields that R3 requires."""

    model_config = ConfigDict(extra="forbid")

    tradeId: Annotated[str, Field(strict=True)]  # noqa: N815 (names on the wire)
    instrumentId: Annotated[str, Field(strict=True, min_length=1)]  # noqa: N815
    price: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=9)]
    quantity: Annotated[Decimal, Field(gt=0, max_digits=28, decimal_places=8)]
    timestamp: datetime
    buySellIndicator: Literal["B", "S"]  # noqa: N815


class Trade(Wire):
    """A trade and what it came with."""

    dlt_config: ClassVar[DltConfig] = {"return_validated_models": False}

    received: datetime
    partition: int
    offset: int

    @model_validator(mode="after")
    def _time_makes_sense(self) -> Self:
        if not FIRST <= self.timestamp <= self.received + SKEW:
            raise ValueError("the event time is out of range")
        return self


def objects(consumer: Consumer, topic: str, records: int, seen: dict[str, int]) -> Iterator[Any]:
    """Pages of dictionaries; what is not JSON is left out."""
    for messages in _polls(consumer, topic, records, seen):
        page = []
        for message in messages:
            try:
                row = orjson.loads(message.value())
            except orjson.JSONDecodeError:
                continue
            row["received"] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            row["partition"], row["offset"] = message.partition(), message.offset()
            page.append(row)
        yield page


def arrow(consumer: Consumer, topic: str, records: int, seen: dict[str, int]) -> Iterator[Any]:
    """Arrow tables of BATCH_RECORDS records or fewer."""
    read = arrow_json.ReadOptions(block_size=1 << 24)
    parse = arrow_json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
    for messages in _batches(consumer, topic, records, seen):
        text = BytesIO(b"\n".join([message.value() for message in messages]))
        yield _with_origin(arrow_json.read_json(text, read, parse), messages)


def judged_arrow(
    consumer: Consumer, topic: str, records: int, seen: dict[str, int]
) -> Iterator[Any]:
    """Arrow tables of the records that a model passes."""
    judge = TypeAdapter(Wire).validate_json
    for messages in _batches(consumer, topic, records, seen):
        rows, origin = [], []
        for message in messages:
            try:
                row = judge(message.value())
            except ValidationError:
                continue
            received = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            if FIRST <= row.timestamp <= received + SKEW:
                rows.append(row)
                origin.append(message)
        columns = {
            field.name: pa.array([getattr(row, field.name) for row in rows], field.type)
            for field in SCHEMA
        }
        yield _with_origin(pa.table(columns, SCHEMA), origin)


def _with_origin(table: pa.Table, messages: list[Message]) -> pa.Table:
    received = pa.array([message.timestamp()[1] for message in messages], pa.timestamp("ms", "UTC"))
    table = table.append_column("received", received)
    table = table.append_column("partition", pa.array([m.partition() for m in messages]))
    return table.append_column("offset", pa.array([m.offset() for m in messages]))


def _batches(
    consumer: Consumer, topic: str, records: int, seen: dict[str, int]
) -> Iterator[list[Message]]:
    pending: list[Message] = []
    for messages in _polls(consumer, topic, records, seen):
        pending += messages
        if len(pending) >= BATCH_RECORDS:
            yield pending
            pending = []
    if pending:
        yield pending


def _polls(
    consumer: Consumer, topic: str, records: int, seen: dict[str, int]
) -> Iterator[list[Message]]:
    """What polls bring until `records` are read or the topic ends, from where the state stands."""
    state = dlt.current.resource_state().setdefault("next", {})
    numbers = sorted(consumer.list_topics(topic, 10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, n, state.get(str(n), 0)) for n in numbers])
    unread = set(numbers)
    while unread and seen["records"] < records:
        asked = min(POLL_RECORDS, records - seen["records"])
        messages = []
        for message in consumer.consume(asked, POLL_SECONDS):
            error = message.error()
            if error is None:
                messages.append(message)
                state[str(message.partition())] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            else:
                raise RuntimeError(f"{topic}: {error.str()}")
        seen["records"] += len(messages)
        if messages:
            yield messages


WAYS = {"objects": objects, "judged_arrow": judged_arrow, "arrow": arrow}


def load(way: str, bootstrap: str, topic: str, records: int) -> Job:
    """Load so many records of the topic into a fresh Delta table."""
    seen = {"records": 0}
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "dlt", "enable.partition.eof": True, **FAST}
    )
    if way == "objects":
        contract: Any = {"columns": "discard_row", "data_type": "discard_row"}
        hints: dict[str, Any] = {"columns": Trade, "schema_contract": contract}
    else:
        hints = {"schema_contract": {"columns": "evolve", "data_type": "freeze"}}
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder:
        pipeline = dlt.pipeline(
            "trades",
            pipelines_dir=str(Path(folder) / "pipelines"),
            destination=dlt.destinations.filesystem(bucket_url=str(Path(folder) / "lake")),
            dataset_name="bronze",
        )
        read = WAYS[way](consumer, topic, records, seen)
        resource = dlt.resource(
            read, name="trades", write_disposition="append", table_format="delta", **hints
        )
        pipeline.run(resource, loader_file_format="parquet")
        consumer.close()
        landed = DeltaTable(str(Path(folder) / "lake" / "bronze" / "trades")).count()
    return {"records": seen["records"], "rejected": seen["records"] - landed}


def warm(way: str, bootstrap: str, topic: str) -> Job:
    """Load a few, so that what is made once a process is not charged to the records."""
    return load(way, bootstrap, topic, WARM_RECORDS)


if __name__ == "__main__":
    serve({"load": load, "warm": warm})
