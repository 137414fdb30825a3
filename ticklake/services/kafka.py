"""Apache Kafka itself, one node (KRaft), from Maven Central: a broker whose log lies on the disk.

The embedded broker is the default and needs no Java. This one is for a desk that wants its messages
to outlive the broker, and for the tests of what only the real one does.
"""

import base64
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.services import broker, processes
from ticklake.services.processes import Child, ServiceError

if TYPE_CHECKING:
    from lake.settings import Settings

NAME = "kafka"
VERSION = "4.1.0"
LOGGER = "1.7.36"  # the slf4j that Kafka speaks; without it, it says nothing
OLDEST_JAVA = 17
DOWNLOAD_SECONDS = 300.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0
INSTEAD = "the embedded broker is the default and needs no Java: `make broker`"

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ticklake</groupId><artifactId>kafka</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>{LOGGER}</version>
    </dependency>
  </dependencies>
</project>
"""


def start(settings: "Settings", timeout_s: float = START_SECONDS) -> Child:
    """Start it unless it runs, wait until it answers, and create the topics.

    Its log is kept under LAKE_LOCAL: what was sent is there after a restart, with its offsets.
    Raises ServiceError where Java or Maven is missing, the port is taken, or it does not answer.
    """
    host, port = broker.address(settings)
    run_dir = settings.local / "run"
    child = processes.find(run_dir, NAME)
    if child is None:
        if broker.stays_taken(host, port):
            raise ServiceError(
                f"{host}:{port} is taken by another program, perhaps the embedded broker; stop it "
                "(`ticklake broker --stop`; its messages are gone then), or set "
                "TICKLAKE_KAFKA_BOOTSTRAP to a free port"
            )
        folder = settings.local / NAME
        folder.mkdir(parents=True, exist_ok=True)
        format_log(folder, properties(folder, port), new_cluster())
        child = processes.start(run_dir, NAME, java("kafka.Kafka", str(_properties_in(folder))))
    broker.wait_until_it_answers(settings, child, timeout_s)
    broker.create_topics(settings)
    return child


def stop(settings: "Settings") -> bool:
    """Stop it; its messages stay. Returns whether it ran."""
    return processes.stop(settings.local / "run", NAME, grace_s=STOP_SECONDS)


def properties(folder: Path, port: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the node is told: everything on loopback, its log in `folder`; `more` overrides."""
    controller = free_port()
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"DESK://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"DESK://127.0.0.1:{port}",
        "listener.security.protocol.map": "DESK:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "DESK",
        "log.dirs": str(folder / "log"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        # Retention goes by the producer's times: a replayed day of last year would be gone at once.
        "log.retention.ms": "-1",
        **(more or {}),
    }


def format_log(
    folder: Path, facts: Mapping[str, str], cluster: str, arguments: Sequence[str] = ()
) -> None:
    """Write the node's properties, and its log's first record if it has none.

    Raises ServiceError with what the tool said.
    """
    path = _properties_in(folder)
    path.write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
    if (folder / "log" / "meta.properties").exists():
        return
    command = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(path), *arguments]
    made = subprocess.run(java(*command), capture_output=True, text=True, check=False)
    if made.returncode:
        raise ServiceError(f"Kafka's log cannot be made: {(made.stderr or made.stdout)[-500:]}")


def new_cluster() -> str:
    """A cluster id: 16 random bytes in base64; one that begins with a dash is an option."""
    made = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
    return made if not made.startswith("-") else f"A{made[1:]}"


def java(*command: str, memory: str = "512m") -> list[str]:
    """The command line of a class of Kafka's. Raises ServiceError where it cannot run."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", f"-Xmx{memory}", quiet, "-cp", f"{jars()}/*", *command]


def jars() -> Path:
    """Folder with Kafka and what it needs, downloaded once. Raises ServiceError with the reason."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise ServiceError(
                f"Apache Kafka needs Java {OLDEST_JAVA} and Maven, and `{program}` is not "
                f"installed; {INSTEAD}"
            )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticklake"
    folder = cache / f"kafka-{VERSION}"
    if not folder.is_dir():
        _refuse_old_java()
        _download(folder)
    return folder


def free_port() -> int:
    """A port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _properties_in(folder: Path) -> Path:
    return folder / "server.properties"


def _refuse_old_java() -> None:
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) < OLDEST_JAVA:
        first = (said.splitlines() or ["java says nothing"])[0]
        raise ServiceError(f"Apache Kafka needs Java {OLDEST_JAVA}: {first}; {INSTEAD}")


def _download(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        (Path(scratch) / "pom.xml").write_text(_POM)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            subprocess.run(
                [*command, "-DoutputDirectory=jars"],
                cwd=scratch,
                check=True,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise ServiceError(
                f"Maven took more than {DOWNLOAD_SECONDS:g} s to fetch Kafka; {INSTEAD}"
            ) from None
        except subprocess.CalledProcessError as error:
            raise ServiceError(
                f"Maven could not fetch Kafka {VERSION}: {error.stdout[-300:].strip()}; {INSTEAD}"
            ) from None
        if not folder.is_dir():  # another process may have been faster
            (Path(scratch) / "jars").replace(folder)
