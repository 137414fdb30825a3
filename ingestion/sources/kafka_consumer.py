"""How the consumer is set up, and what its answers mean."""

from confluent_kafka import KafkaError, KafkaException, Message

from contracts.base import Contract
from lake.kafka_client import BrokerRefused, Partition, client_config
from lake.settings import Settings

HEARTBEAT_MS = 1_000
METADATA_MS = 2_000
LONGEST_COMMIT_MS = 900_000
FETCH_KB = 1_024

# What passes by itself; whoever follows waits for it.
PASSING = (
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
)
NOT_ALLOWED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
)


def consumer_config(
    settings: Settings, contract: Contract, buffer_mb: float
) -> dict[str, str | int | float | bool]:
    """What librdkafka is told; `buffer_mb` bounds what it fetches ahead."""
    # librdkafka may overshoot its queue by one fetch, so a fetch is a part of what is granted.
    buffer_kb = max(FETCH_KB, int(buffer_mb * 1024 * 3 / 4))
    return {
        **client_config(settings),
        "group.id": f"{settings.kafka_group}.{contract.dataset}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 5,  # the default of 1 s throttles a fast reader
        # The embedded broker answers only when this has passed, news or not.
        "fetch.wait.max.ms": 20,
        "session.timeout.ms": int(settings.kafka_session_timeout_s * 1000),
        "heartbeat.interval.ms": min(HEARTBEAT_MS, int(settings.kafka_session_timeout_s * 250)),
        "max.poll.interval.ms": LONGEST_COMMIT_MS,
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        "queued.max.messages.kbytes": buffer_kb,
        "fetch.max.bytes": max(FETCH_KB, buffer_kb // 3) * 1024,
    }


def sorted_out(
    answers: list[Message],
) -> tuple[list[Message], set[Partition], Message | None]:
    """Records, the partitions that came to their end, and one whose position is not there."""
    records, ends, trouble = [], set(), None
    for message in answers:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends.add((message.topic(), message.partition()))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            trouble = message
        elif error.code() in NOT_ALLOWED:
            raise BrokerRefused(f"{message.topic() or 'the group'}: {error.str()}")
        elif error.fatal() or not (error.retriable() or error.code() in PASSING):
            raise KafkaException(error)
    return records, ends, trouble
