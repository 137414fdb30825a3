"""Sending records to Kafka: idempotent, in order per key, waiting when the broker is slow."""

from collections.abc import Callable, Sequence

from confluent_kafka import Message, Producer
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from lake.settings import Settings

POLL_EVERY = 1_000  # records between looks at the delivery reports


class ProduceFailed(RuntimeError):
    """The broker did not take a record within the time allowed."""


def produce(
    settings: Settings,
    topic: str,
    keys: Sequence[bytes],
    values: Sequence[bytes],
    sent_ms: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> int:
    """Send records in order and wait until the broker has them all; returns how many.

    librdkafka retries what is transient; a full queue is waited for with growing, jittered
    pauses. Raises ProduceFailed if a record was refused or not taken in time.
    """
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 200_000,
            "delivery.timeout.ms": 60_000,
            "log_level": 2,
        }
    )
    refused: list[str] = []

    def delivered(error: object, _message: Message) -> None:
        if error is not None:
            refused.append(str(error))

    for place, (key, value, at) in enumerate(zip(keys, values, sent_ms, strict=True)):
        try:
            producer.produce(topic, key=key, value=value, timestamp=at, on_delivery=delivered)
        except BufferError:
            _send_when_there_is_room(producer, topic, key, value, at, delivered)
        if place % POLL_EVERY == 0:
            producer.poll(0)
            if progress:
                progress(place)
    left = producer.flush(90)
    if refused or left:
        why = refused[0] if refused else f"{left} records were not confirmed in time"
        raise ProduceFailed(f"{topic} at {settings.kafka_bootstrap}: {why}")
    return len(values)


@retry(
    retry=retry_if_exception_type(BufferError),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)
def _send_when_there_is_room(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes,
    at_ms: int,
    delivered: Callable[[object, Message], None],
) -> None:
    producer.poll(0.05)
    producer.produce(topic, key=key, value=value, timestamp=at_ms, on_delivery=delivered)
