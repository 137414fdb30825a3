"""Sending to Kafka: each record once, in order per key, waiting when the broker is slow or away."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from tenacity import Retrying, retry_if_result, wait_random_exponential

from lake.kafka_client import ask, client_config
from lake.settings import Settings

log = structlog.get_logger()

# What waits for the broker is bounded by both; at the bound `send` waits.
QUEUE_RECORDS = 200_000
QUEUE_KIBIBYTES = 65_536
SLICE = 1_000  # records between looks at the broker's answers
ANSWER_SECONDS = 0.5
INTERRUPTED_SECONDS = 5.0  # for what was accepted before an interruption
PURGE_SECONDS = 10.0
WARN_SECONDS = 30.0

Headers = list[tuple[str, bytes]]


class ProduceFailed(RuntimeError):
    """A record was refused, or not confirmed within TICKLAKE_KAFKA_DELIVERY_TIMEOUT."""


class Sender:
    """A way to the broker that stays open over many chunks.

        with Sender(settings) as sender:
            for chunk in chunks:
                sender.send(topic, chunk.keys, chunk.values, chunk.sent_ms)

    Idempotent: librdkafka repeats what was not confirmed after growing, jittered pauses, and the
    broker drops what it has already. A broker that is away for less than
    TICKLAKE_KAFKA_DELIVERY_TIMEOUT is waited for: nothing is lost or doubled, and the records of
    a key keep their order.

    Entering raises BrokerUnreachable when no broker answers within TICKLAKE_KAFKA_TIMEOUT.
    Leaving waits for the broker to confirm everything and raises ProduceFailed if it does not.
    When Ctrl-C or another exception ends the block, what was accepted gets a few seconds more,
    the rest of it is dropped, and the log says how many were confirmed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = Producer(
            {
                **_producer_config(settings),
                "on_delivery": self._note_failure,
                "error_cb": self._note_trouble,
            }
        )
        self.accepted = 0  # records taken over so far
        self._confirmed = 0
        self._ended = False
        self._failed = 0
        self._why = ""
        self._trouble = ""
        self._warned_at = -WARN_SECONDS

    @property
    def confirmed(self) -> int:
        """Records that the broker has for certain; never fewer than were read here before."""
        waiting = 0 if self._ended else len(self._producer)  # and what else the client has to say
        self._confirmed = max(self._confirmed, self.accepted - self._failed - waiting)
        return self._confirmed

    def __enter__(self) -> Self:
        ask(self._producer, self.settings)
        return self

    def send(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        sent_ms: Sequence[int],
        headers: Headers | None = None,
    ) -> None:
        """Hand records over in their order; waits while the queue to the broker is full.

        `sent_ms` is ms since epoch UTC, `headers` (e.g. batch_id) go with every record. Returns
        before the broker has them all. Raises ProduceFailed once it is known that one is lost.
        """
        if not len(keys) == len(values) == len(sent_ms):
            raise ValueError(
                f"{topic}: {len(keys)} keys, {len(values)} values and {len(sent_ms)} times; "
                "give one of each per record"
            )
        # Whoever waits here is woken by the first confirmation, and by none after growing pauses.
        patiently = Retrying(
            retry=retry_if_result(lambda taken: taken == 0),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            sleep=self._listen,
        )
        place = 0
        while place < len(values):
            part = slice(place, place + SLICE)
            self._listen(0)
            place += patiently(
                self._hand_over, topic, keys[part], values[part], sent_ms[part], headers
            )

    def flush(self) -> None:
        """Wait until everything is confirmed. Raises ProduceFailed once a record is lost.

        It ends: librdkafka gives a record up after TICKLAKE_KAFKA_DELIVERY_TIMEOUT.
        """
        self._listen(0)
        while len(self._producer):
            self._listen(ANSWER_SECONDS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        elif not self._failed:
            self._producer.flush(INTERRUPTED_SECONDS)
            self._drop()
            left = self.accepted - self.confirmed
            log.warning(
                "sending ended", why=kind.__name__, confirmed=self.confirmed, unconfirmed=left
            )
        self._ended = True

    def _hand_over(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        sent_ms: Sequence[int],
        headers: Headers | None,
    ) -> int:
        """Hand over as many records as there is room for, in their order; returns how many."""
        hand_over = self._producer.produce
        if headers is not None:
            hand_over = partial(hand_over, headers=headers)
        taken = 0
        try:
            for key, value, at in zip(keys, values, sent_ms, strict=True):
                hand_over(topic, value, key, timestamp=at)
                taken += 1
        except BufferError:
            pass  # the queue is full
        except KafkaException as error:
            raise ProduceFailed(
                f"{topic}: the record with key {keys[taken]!r} and {len(values[taken])} bytes "
                f"cannot be sent: {error.args[0].str()}"
            ) from error
        finally:
            self.accepted += taken
        return taken

    def _listen(self, seconds: float) -> None:
        """Take the broker's answers, waiting for the first. Raises ProduceFailed on a loss."""
        self._producer.poll(seconds)
        if self._failed:
            self._drop()  # as little as possible shall follow a record that is missing
            raise ProduceFailed(f"{self._why}; {self._so_far()}")

    def _drop(self) -> None:
        """Forget what was not confirmed, so that nobody waits for it."""
        if len(self._producer):
            self._producer.purge()
            unanswered = self._producer.flush(PURGE_SECONDS)  # counts failures on its way
            self._failed += unanswered
        self._ended = True

    def _so_far(self) -> str:
        return (
            f"{self.confirmed} records were confirmed, {self.accepted - self.confirmed} were not "
            f"and may or may not have arrived ({self.settings.kafka_bootstrap})"
        )

    def _note_failure(self, error: KafkaError, message: Message) -> None:
        """Called for a record that librdkafka gave up (only.error), never for a confirmed one."""
        self._failed += 1
        if not self._why:
            self._why = f"{message.topic()}/{message.partition()}: {error.str()}"
            if error.code() == KafkaError._MSG_TIMED_OUT:
                waited = self.settings.kafka_delivery_timeout_s
                self._why += f" after {waited:g} s; last heard: {self._trouble or 'nothing'}"

    def _note_trouble(self, error: KafkaError) -> None:
        self._trouble = error.str()
        if time.monotonic() - self._warned_at >= WARN_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("the broker is in trouble; waiting for it", error=self._trouble)


def _producer_config(settings: Settings) -> dict[str, str | int | float | bool]:
    return {
        **client_config(settings),
        "enable.idempotence": True,  # with it: acks=all, repeats without end, order kept
        "delivery.timeout.ms": int(settings.kafka_delivery_timeout_s * 1000),
        "delivery.report.only.error": True,  # a callback per record costs more than sending it
        "retry.backoff.ms": 100,
        "retry.backoff.max.ms": 2_000,
        "linger.ms": 20,
        "batch.size": 1_000_000,
        "compression.codec": settings.kafka_compression,
        "queue.buffering.max.messages": QUEUE_RECORDS,
        "queue.buffering.max.kbytes": QUEUE_KIBIBYTES,
    }


def produce(
    settings: Settings,
    topic: str,
    keys: Sequence[bytes],
    values: Sequence[bytes],
    sent_ms: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> int:
    """Send records in order and wait until the broker has them all; returns how many.

    `progress` is told the number confirmed so far. Raises as Sender does.
    """
    with Sender(settings) as sender:
        for place in range(0, len(values), 10 * SLICE):
            part = slice(place, place + 10 * SLICE)
            sender.send(topic, keys[part], values[part], sent_ms[part])
            if progress:
                progress(sender.confirmed)
    return sender.confirmed
