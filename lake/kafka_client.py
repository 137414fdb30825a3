"""What reading and sending share: how a Kafka broker is reached, and which topics it has."""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec
from tenacity import (
    RetryCallState,
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
NOT_LET_IN = (KafkaError._AUTHENTICATION, KafkaError._SSL)

Partition = tuple[str, int]  # topic and number


class BrokerUnreachable(RuntimeError):
    """No broker answered in time."""


class BrokerRefused(RuntimeError):
    """A broker answers and does not let us in, or not to that topic."""


class Client(Protocol):
    """Any of librdkafka's clients: consumer, producer, administrator."""

    def list_topics(self, *, timeout: float) -> ClusterMetadata:
        """Metadata of all topics. Raises KafkaException when nobody answers in time."""


def client_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """What every client of the broker is told."""
    return {
        **settings.kafka_security,
        "bootstrap.servers": settings.kafka_bootstrap,
        "reconnect.backoff.max.ms": 1_000,  # the default of 10 s keeps away from one that is back
        "log_level": 2,
    }


def ask(client: Client, settings: Settings) -> ClusterMetadata:
    """All topics of the broker; nothing is created by asking.

    Tried again after growing, jittered pauses. Raises BrokerUnreachable when nobody answers
    within TICKLAKE_KAFKA_TIMEOUT, BrokerRefused as soon as a broker does not let us in.
    """
    limit_s = settings.kafka_timeout_s
    attempts = Retrying(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_delay(limit_s),
        after=partial(_stop_if_refused, settings),
        reraise=True,
    )
    try:
        return attempts(lambda: client.list_topics(timeout=min(ATTEMPT_SECONDS, limit_s)))
    except KafkaException as error:
        raise BrokerUnreachable(
            f"no Kafka broker answers at {settings.kafka_bootstrap} within {limit_s:g} s "
            f"({trouble(settings)}); start one with `make broker` or set "
            "TICKLAKE_KAFKA_BOOTSTRAP"
        ) from error


def _stop_if_refused(settings: Settings, _: RetryCallState) -> None:
    if settings.kafka_security_protocol != "PLAINTEXT":
        trouble(settings)


def trouble(settings: Settings) -> str:
    """What keeps a client from its broker. Raises BrokerRefused if it is we who are wrong.

    librdkafka tells only a client's own callback, so another client is made to ask.
    """
    heard: list[KafkaError] = []
    curious = AdminClient({**client_config(settings), "log_level": 0, "error_cb": heard.append})
    deadline = time.monotonic() + ATTEMPT_SECONDS
    telling: list[KafkaError] = []
    while not telling and time.monotonic() < deadline:
        curious.poll(0.1)
        telling = [error for error in heard if error.code() != KafkaError._ALL_BROKERS_DOWN]
    for error in telling:
        if error.code() in NOT_LET_IN:
            raise BrokerRefused(
                f"the Kafka broker at {settings.kafka_bootstrap} does not let us in: "
                f"{error.str()}; see TICKLAKE_KAFKA_SECURITY_PROTOCOL and what belongs to it"
            )
    if telling:
        return str(telling[0].str())
    return (
        "it hangs, or wants another TICKLAKE_KAFKA_SECURITY_PROTOCOL than "
        f"{settings.kafka_security_protocol}"
    )


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
        self._known: Known | None = None
        self._asking: threading.Thread | None = None
        self._asked_at = 0.0

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient(client_config(self.settings))

    @property
    def known(self) -> Known:
        """The newest answer; another object than before where the broker was asked anew.

        Raises BrokerUnreachable when the first answer does not come in time.
        """
        if self._known is None:
            self._asked_at = time.monotonic()
            self._known = self._read(ask(self._admin, self.settings))
        return self._known

    def of(self, contract: Contract) -> list[Partition]:
        """The partitions of those of the contract's topics, aliases included, that exist."""
        known, found = self.known, []
        for topic in (contract.topic, *contract.aliases):
            if topic in known.refused:
                raise BrokerRefused(f"{topic}: {known.refused[topic].str()}")
            found += [(topic, number) for number in known.partitions.get(topic, ())]
        return found

    def ids(self, names: Collection[str]) -> dict[str, str]:
        """The id of each topic at this moment, empty where the broker gives none.

        A topic made anew has another id under its old name; one that is gone is left out. Raises
        BrokerUnreachable when no answer comes within ATTEMPT_SECONDS.
        """
        asked = self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=ATTEMPT_SECONDS
        )
        found = {}
        for name, answer in asked.items():
            try:
                found[name] = _text_of(answer.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() not in NOT_THERE_YET:
                    raise BrokerUnreachable(self._no_answer(error)) from error
        return found

    def first_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The first offset that the broker still has, of each partition.

        Raises BrokerUnreachable when no answer comes in time.
        """
        return self._offsets(partitions, OffsetSpec.earliest())

    def end_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offset after the last, of each partition, as the broker says.

        The embedded broker says too little. Raises BrokerUnreachable when no answer comes in time.
        """
        return self._offsets(partitions, OffsetSpec.latest())

    def _offsets(
        self, partitions: Collection[Partition], which: OffsetSpec
    ) -> dict[Partition, int]:
        of_each = {TopicPartition(*partition): which for partition in partitions}
        asked = self._admin.list_offsets(of_each, request_timeout=self.settings.kafka_timeout_s)
        try:
            return {(p.topic, p.partition): answer.result().offset for p, answer in asked.items()}
        except KafkaException as error:
            raise BrokerUnreachable(self._no_answer(error)) from error

    def _no_answer(self, error: KafkaException) -> str:
        return (
            f"the Kafka broker at {self.settings.kafka_bootstrap} does not answer "
            f"({error.args[0].str()}); what was committed stays, land again to go on"
        )

    def refresh(self) -> None:
        """Ask again if the last answer is older than REFRESH_SECONDS."""
        due = time.monotonic() - self._asked_at >= REFRESH_SECONDS
        if due and (self._asking is None or not self._asking.is_alive()):
            self._asked_at = time.monotonic()
            self._asking = threading.Thread(target=self._ask_again, daemon=True)
            self._asking.start()

    def _ask_again(self) -> None:
        try:
            self._known = self._read(self._admin.list_topics(timeout=self.settings.kafka_timeout_s))
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


def _text_of(topic_id: Uuid | None) -> str:
    """Empty for the id of all zeros, which stands for none."""
    if topic_id is None:
        return ""
    bits = (topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits())
    return str(topic_id) if any(bits) else ""
