"""What reading and sending share: how a Kafka broker is reached, and which topics it has."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from contracts.base import Contract
from lake.settings import Settings

ATTEMPT_SECONDS = 2.0
REFRESH_SECONDS = 2.0
NOT_THERE_YET = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)

Partition = tuple[str, int]  # topic and number


class BrokerUnreachable(RuntimeError):
    """No broker answered in time."""


class Client(Protocol):
    """Any of librdkafka's clients: consumer, producer, administrator."""

    def list_topics(self, *, timeout: float) -> ClusterMetadata:
        """Metadata of all topics. Raises KafkaException when nobody answers in time."""


def client_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """What every client of the broker is told."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "reconnect.backoff.max.ms": 1_000,  # the default of 10 s keeps away from one that is back
        "log_level": 2,
    }


def ask(client: Client, settings: Settings) -> ClusterMetadata:
    """All topics of the broker; nothing is created by asking.

    Tried again after growing, jittered pauses. Raises BrokerUnreachable when nobody answers
    within TICKLAKE_KAFKA_TIMEOUT.
    """
    limit_s = settings.kafka_timeout_s
    attempts = Retrying(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_delay(limit_s),
        reraise=True,
    )
    try:
        return attempts(lambda: client.list_topics(timeout=min(ATTEMPT_SECONDS, limit_s)))
    except KafkaException as error:
        raise BrokerUnreachable(
            f"no Kafka broker answers at {settings.kafka_bootstrap} within {limit_s:g} s "
            f"({error}); start one with `make broker` or set TICKLAKE_KAFKA_BOOTSTRAP"
        ) from error


@dataclass(frozen=True)
class Known:
    """One answer of the broker: its cluster, and the partitions of each topic."""

    cluster: str
    partitions: dict[str, list[int]]
    refused: dict[str, KafkaError]


class Topics:
    """Which topics the broker has: one question for all datasets of a process.

    `refresh` asks anew, aside: nobody waits for the answer, and what is known stays until then.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client: AdminClient | None = None
        self._known: Known | None = None
        self._asking: threading.Thread | None = None
        self._asked_at = 0.0

    @property
    def known(self) -> Known:
        """The newest answer; another object than before where the broker was asked anew.

        Raises BrokerUnreachable when the first answer does not come in time.
        """
        if self._known is None:
            self._asked_at = time.monotonic()
            self._client = AdminClient(client_config(self.settings))
            self._known = self._read(ask(self._client, self.settings))
        return self._known

    def of(self, contract: Contract) -> list[Partition]:
        """The partitions of those of the contract's topics, aliases included, that exist."""
        known, found = self.known, []
        for topic in (contract.topic, *contract.aliases):
            if topic in known.refused:
                raise KafkaException(known.refused[topic])
            found += [(topic, number) for number in known.partitions.get(topic, ())]
        return found

    def refresh(self) -> None:
        """Ask again if the last answer is older than REFRESH_SECONDS."""
        due = time.monotonic() - self._asked_at >= REFRESH_SECONDS
        if due and (self._asking is None or not self._asking.is_alive()):
            self._asked_at = time.monotonic()
            self._asking = threading.Thread(target=self._ask_again, daemon=True)
            self._asking.start()

    def _ask_again(self) -> None:
        assert self._client is not None
        try:
            self._known = self._read(
                self._client.list_topics(timeout=self.settings.kafka_timeout_s)
            )
        except (KafkaException, BrokerUnreachable):
            return  # it is away or starting; whoever polls it waits for it, and so do the topics

    def _read(self, found: ClusterMetadata) -> Known:
        if not found.cluster_id:
            raise BrokerUnreachable(
                f"the broker at {self.settings.kafka_bootstrap} does not name its cluster; "
                "positions are kept per cluster, so nothing can be landed from it"
            )
        partitions, refused = {}, {}
        for name, topic in found.topics.items():
            if topic.error is None:
                partitions[name] = sorted(topic.partitions)
            elif topic.error.code() not in NOT_THERE_YET:
                refused[name] = topic.error
        return Known(found.cluster_id, partitions, refused)
