"""quixstreams to Parquet files on the local disk, with the two checks that it offers.

schema: JSONDeserializer(schema=...), JSON Schema judged by jsonschema. It cannot compare the event
    time with the reception, so future trades pass.
filter: a Python function over each decoded record (StreamingDataFrame.filter), with the checks of
    our contract: keys, types, positive price and quantity, side, event time from 1990 to five
    seconds after reception.

Offsets are committed to the group after each file (at least once: a crash repeats records). A
checkpoint is 100,000 records, as our batches. It joins its group on the clock, which takes seconds
and next to no CPU. Not done: decimals (numbers are floats), rejected rows kept (they are dropped),
repeated keys refused, fsync, one commit for rows and offsets.
"""

import tempfile
from contextlib import chdir
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from quixstreams import Application
from quixstreams.models.serializers.json import JSONDeserializer
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink

from benchmarks.peers.reading import CLOCK_SKEW_SECONDS, EARLIEST, FAST, WARM_RECORDS
from benchmarks.worker import Job, serve

CHECKPOINT_RECORDS = 100_000
QUIET_SECONDS = 10.0  # without news for so long it stops, should records be missing
FIRST = datetime.fromisoformat(EARLIEST).timestamp()
FIELDS = {"tradeId", "instrumentId", "price", "quantity", "timestamp", "buySellIndicator"}
NUMBERS = (int, float)
SCHEMA = {
    "type": "object",
    "properties": {
        "tradeId": {"type": "string"},
        "instrumentId": {"type": "string", "minLength": 1},
        "price": {"type": "number", "exclusiveMinimum": 0},
        "quantity": {"type": "number", "exclusiveMinimum": 0},
        "timestamp": {"type": "string", "format": "date-time"},
        "buySellIndicator": {"enum": ["B", "S"]},
    },
    "required": sorted(FIELDS),
    "additionalProperties": False,
}


def sound(value: Any, _key: Any, received_ms: int, _headers: Any) -> bool:
    """Whether a record keeps the contract, as far as floats can tell."""
    if not isinstance(value, dict) or value.keys() != FIELDS:
        return False
    price, quantity = value["price"], value["quantity"]
    if type(price) not in NUMBERS or type(quantity) not in NUMBERS or price <= 0 or quantity <= 0:
        return False
    if type(value["tradeId"]) is not str or type(value["instrumentId"]) is not str:
        return False
    if value["buySellIndicator"] not in ("B", "S") or not value["instrumentId"]:
        return False
    try:
        at = datetime.fromisoformat(value["timestamp"]).timestamp()
    except (TypeError, ValueError):
        return False
    return FIRST <= at <= received_ms / 1000 + CLOCK_SKEW_SECONDS


def load(way: str, bootstrap: str, topic: str, records: int) -> Job:
    """Write the topic, or `records` of it, to Parquet files in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder, chdir(folder):
        seen = {"records": 0, "unreadable": 0}

        def count(*_: Any) -> None:
            seen["records"] += 1
            if seen["records"] + seen["unreadable"] >= records:
                app.stop()

        def drop(*_: Any) -> bool:
            seen["unreadable"] += 1
            return True

        app = Application(
            broker_address=bootstrap,
            consumer_group=f"quix-{Path(folder).name}",
            auto_offset_reset="earliest",
            commit_every=CHECKPOINT_RECORDS,
            commit_interval=600,
            consumer_extra_config={k: v for k, v in FAST.items() if k != "enable.auto.commit"},
            state_dir=Path(folder) / "state",
            auto_create_topics=False,
            loglevel="ERROR",
            on_consumer_error=drop,
            on_message_processed=count,
        )
        reader = JSONDeserializer(schema=SCHEMA) if way == "schema" else JSONDeserializer()
        frame = app.dataframe(app.topic(topic, value_deserializer=reader))
        if way == "filter":
            frame = frame.filter(sound, metadata=True)
        # The sink takes few characters in a path; this one may have others, so it is gone to.
        frame.sink(LocalFileSink(directory="files", format=ParquetFormat(compression="zstd")))
        app.run(timeout=QUIET_SECONDS, collect=False)
        landed = sum(pq.read_metadata(path).num_rows for path in Path("files").rglob("*.parquet"))
        read = seen["records"] + seen["unreadable"]
        return {"records": read, "rejected": read - landed}


def warm(way: str, bootstrap: str, topic: str) -> Job:
    """Write a few, so that what is made once a process is not charged to the records."""
    return load(way, bootstrap, topic, WARM_RECORDS)


if __name__ == "__main__":
    serve({"load": load, "warm": warm})
