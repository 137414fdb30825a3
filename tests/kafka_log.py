"""What a topic holds, read by a plain consumer from its beginning to its end."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

READ_SECONDS = 60.0


def messages_of(bootstrap: str, topic: str) -> list[Message]:
    """Every message of a topic; those of a partition in their order."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    open_ = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in open_])
    found: list[Message] = []
    deadline = time.monotonic() + READ_SECONDS
    while open_:
        for message in consumer.consume(5_000, 0.1):
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_.discard(message.partition())
            else:
                raise KafkaException(message.error())
        if time.monotonic() > deadline:
            raise AssertionError(f"{topic} partitions {open_}: no end within {READ_SECONDS} s")
    consumer.close()
    return found


def sent_numbers(bootstrap: str, topic: str) -> dict[bytes, list[int]]:
    """For each key the numbers that its values start with, partition by partition, as they lie."""
    found: dict[bytes, list[int]] = {}
    for message in messages_of(bootstrap, topic):
        number = int(message.value().partition(b" ")[0])
        found.setdefault(message.key(), []).append(number)
    return found
