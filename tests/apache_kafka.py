"""Apache Kafka itself, one node, from Maven Central: for what an embedded broker cannot show.

Its log lies on the disk, so it can be killed and started again on the same messages.
"""

import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.embedded_broker import free_port

VERSION = "4.1.0"
JARS = Path.home() / ".cache" / "ticklake-tests" / f"kafka-{VERSION}"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"  # Kafka wants 16 bytes in base64
DOWNLOAD_SECONDS = 300.0
ANSWER_SECONDS = 60.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ticklake</groupId><artifactId>tests</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
    <version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
"""


class KafkaMissing(RuntimeError):
    """Java, Maven or the registry is out of reach: there is no Apache Kafka to test with."""


class ApacheKafka:
    """A one-node cluster in a folder; `with ApacheKafka(tmp_path) as kafka:` starts and kills it.

    Topics are made by whoever names one that does not exist, as in a cluster as it is shipped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._controller = free_port(), free_port()
        self.cluster = CLUSTER
        self._process: subprocess.Popen[bytes] | None = None
        quick = {"reconnect.backoff.max.ms": 500, "log_level": 0}
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, **quick})

    @property
    def bootstrap(self) -> str:
        """Address for TICKLAKE_KAFKA_BOOTSTRAP."""
        return f"127.0.0.1:{self.port}"

    def unit(self, topic: str, partition: int) -> str:
        """What positions in a topic-partition of this cluster count in."""
        return f"kafka:{self.cluster}/{topic}/{partition}"

    def __enter__(self) -> Self:
        properties = self.folder / "server.properties"
        facts = {"folder": self.folder, "port": self.port, "controller": self._controller}
        properties.write_text(_PROPERTIES.format(**facts))
        format_log = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
        subprocess.run(_java(*format_log), check=True, capture_output=True)
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
                _java("kafka.Kafka", str(self.folder / "server.properties")),
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

    def topics(self) -> set[str]:
        """Names of the topics that exist."""
        return set(self._admin.list_topics(timeout=10).topics)

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Make a topic. Raises KafkaException if it exists."""
        made = self._admin.create_topics([NewTopic(topic, partitions, replication_factor=1)])
        made[topic].result(timeout=30)

    def add_partitions(self, topic: str, total: int) -> None:
        """Let a topic have more partitions than before."""
        made = self._admin.create_partitions([NewPartitions(topic, total)])
        made[topic].result(timeout=30)

    def _answers(self) -> bool:
        try:
            return bool(self._admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


@cache
def jars() -> Path:
    """Folder with Kafka and what it needs, downloaded once. Raises KafkaMissing with the reason."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaMissing(f"{program} is not installed")
    if JARS.is_dir():
        return JARS
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent) as scratch:
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
            raise KafkaMissing(f"Maven took more than {DOWNLOAD_SECONDS:g} s") from None
        except subprocess.CalledProcessError as error:
            raise KafkaMissing(f"Maven could not fetch it: {error.stdout[-300:]}") from None
        if not JARS.is_dir():  # another test run may have been faster
            (Path(scratch) / "jars").replace(JARS)
    return JARS


def _java(*command: str) -> list[str]:
    return ["java", "-Xmx512m", "-cp", f"{jars()}/*", *command]
