"""Apache Kafka itself, one node, from Maven Central: for what an embedded broker cannot show.

Its log lies on the disk, so it can be killed and started again on the same messages.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from ticklake.services import kafka
from ticklake.services.processes import ServiceError

ANSWER_SECONDS = 60.0


class ApacheKafka:
    """A one-node cluster in a folder; `with ApacheKafka(tmp_path) as kafka:` starts and kills it.

    Topics are made by whoever names one that does not exist, as in a cluster as it is shipped.
    `more` are properties of the node besides, `listeners` other ways in than the open one: name ->
    protocol; `address` says where. `format_arguments` are Kafka's own, e.g. for SCRAM users.
    """

    def __init__(
        self,
        folder: Path,
        more: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = kafka.free_port()
        self.cluster = kafka.new_cluster()
        self._facts = {"auto.create.topics.enable": "true", **(more or {})}
        self._listeners = dict(listeners or {})
        self._ports = {name: kafka.free_port() for name in self._listeners}
        self._format_arguments = format_arguments
        self._process: subprocess.Popen[bytes] | None = None
        quick = {"reconnect.backoff.max.ms": 500, "log_level": 0}
        self._client = {"bootstrap.servers": self.bootstrap, **quick}
        self.admin = AdminClient(self._client)

    @property
    def bootstrap(self) -> str:
        """Address for TICKLAKE_KAFKA_BOOTSTRAP."""
        return f"127.0.0.1:{self.port}"

    def address(self, listener: str) -> str:
        """Address of one of `listeners`."""
        return f"127.0.0.1:{self._ports[listener]}"

    def unit(self, topic: str, partition: int) -> str:
        """What positions in a topic-partition of this cluster count in."""
        return f"kafka:{self.cluster}/{topic}/{partition}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = kafka.properties(self.folder, self.port, self._facts)
        for name, protocol in self._listeners.items():
            facts["listeners"] += f",{name}://{self.address(name)}"
            facts["advertised.listeners"] += f",{name}://{self.address(name)}"
            facts["listener.security.protocol.map"] += f",{name}:{protocol}"
        kafka.format_log(self.folder, facts, self.cluster, self._format_arguments)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it on the log that its folder holds; returns when it answers."""
        with (self.folder / "server.out").open("ab") as out:
            self._process = subprocess.Popen(
                kafka.java("kafka.Kafka", str(self.folder / "server.properties")),
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                said = (self.folder / "server.out").read_text()[-2_000:]
                raise RuntimeError(f"Apache Kafka does not answer at {self.bootstrap}:\n{said}")

    def kill(self) -> None:
        """Kill -9; what it had acknowledged is in its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal, e.g. SIGSTOP for a broker that hangs and SIGCONT to let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def topics(self) -> set[str]:
        """Names of the topics that exist."""
        return set(self.admin.list_topics(timeout=10).topics)

    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Make a topic. Raises KafkaException if it exists."""
        wanted = NewTopic(topic, partitions, replication_factor=1, config=dict(config or {}))
        self.admin.create_topics([wanted])[topic].result(timeout=30)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; returns when its name is free."""
        self.admin.delete_topics([topic])[topic].result(timeout=30)
        while topic in self.topics():
            time.sleep(0.05)

    def add_partitions(self, topic: str, total: int) -> None:
        """Let a topic have more partitions than before."""
        made = self.admin.create_partitions([NewPartitions(topic, total)])
        made[topic].result(timeout=30)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Forget the records of a partition before an offset, as retention does."""
        place = TopicPartition(topic, partition, before)
        admin = AdminClient(self._client)  # one that knew a topic of that name looks for its leader
        for answer in admin.delete_records([place]).values():
            answer.result()

    def _answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def require_kafka() -> None:
    """Download it once; skip the test, with the reason, where it cannot be had."""
    try:
        kafka.jars()
    except ServiceError as reason:
        pytest.skip(f"no Apache Kafka here: {reason}")
