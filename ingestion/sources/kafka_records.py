"""Messages of the Kafka client as bytes and provenance, a column at a time."""

from collections.abc import Mapping, Sequence

import polars as pl
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

_PROVENANCE = {
    "recv_ts_ns": pl.Int64,
    "unit": pl.String,
    "position": pl.Int64,
    "delivery_unit": pl.String,
}


def values_of(messages: Sequence[Message]) -> list[bytes]:
    """The messages' values; a tombstone is an empty record."""
    return [message.value() or b"" for message in messages]


def provenance_of(messages: Sequence[Message], units: Mapping[int, str]) -> pl.DataFrame:
    """A row per message of one topic; `units` names the unit of each partition number."""
    unit = pl.Series("unit", [units.get(number) for number in range(max(units) + 1)])
    return pl.DataFrame(
        {
            "recv_ts_ns": [_received(message) for message in messages],
            "unit": unit.gather([message.partition() for message in messages]),
            "position": [message.offset() for message in messages],
            "delivery_unit": [_delivery_unit(message) for message in messages],
        },
        schema=_PROVENANCE,
    )


def _received(message: Message) -> int | None:
    kind, milliseconds = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000_000


def _delivery_unit(message: Message) -> str | None:
    """The producer's batch_id header: within it equal records are different events."""
    headers = message.headers()
    if not headers:
        return None
    for name, value in headers:
        if name == "batch_id":
            return str(value, "utf-8", "replace")
    return None
