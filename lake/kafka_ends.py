"""Where topic-partitions end, asked by reading them.

Asked for its ends the embedded broker says too little; where it is read from, its answers have the
end.
"""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, TopicPartition

from lake.kafka_client import Partition, client_config
from lake.settings import Settings

WAIT_S = 3.0  # for a broker that may not be there at all


def ends_where_read(settings: Settings, positions: Mapping[Partition, int]) -> dict[Partition, int]:
    """The offset after the last of each partition, by reading at a position that it has.

    Nothing is committed and no group is joined. Partitions that do not answer in time are left out.
    """
    if not positions:
        return {}
    consumer = Consumer(
        {
            **client_config(settings),
            "group.id": f"{settings.kafka_group}-reconcile",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(*where, offset) for where, offset in positions.items()])
        return _ends(consumer, positions)
    finally:
        consumer.close()


def _ends(consumer: Consumer, positions: Mapping[Partition, int]) -> dict[Partition, int]:
    ends: dict[Partition, int] = {}
    open_ = set(positions)
    deadline = time.monotonic() + WAIT_S
    while open_ and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        where = (message.topic(), message.partition())
        if message.error() is None:
            high = consumer.get_watermark_offsets(TopicPartition(*where), cached=True)[1]
            ends[where] = max(high, message.offset() + 1)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ends[where] = message.offset()
        open_.discard(where)
    return ends
